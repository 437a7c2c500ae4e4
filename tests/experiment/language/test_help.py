import re

from sweep.experiment.language.help import of
from tests.paths import CONF


def keys(file):
    """The paths of the keys of a conf file."""
    path = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"( *)([\w.,]+):", line):
            path = [*path[: len(found[1]) // 2], found[2]]
            yield tuple(path)


def test_every_key_of_the_config_is_explained_in_a_few_words():
    own = [path for path in keys(CONF / "config.yaml") if path[0] not in ("defaults", "hydra")]
    assert len(own) > 25
    for path in own:
        assert 4 < len(of(path, {})) < 100, path


def test_every_key_of_every_option_is_explained_in_a_few_words():
    for file in CONF.glob("*/**/*.yaml"):
        group, *option = file.relative_to(CONF).with_suffix("").parts
        for path in [(), *keys(file)]:
            if path[:1] != ("axes",) or len(path) == 1:
                assert of((group, *path), {group: "/".join(option)}), (file, path)


def test_the_help_says_beside_every_key_what_it_is(sweep_command):
    done = sweep_command("--help", "executor=slurm", "init=sparse")
    assert done.returncode == 0, done.stderr
    settings = done.stdout.partition("== Settings")[2].partition("\n\n")[0].splitlines()[1:]
    assert len(settings) > 40
    mute = [line for line in settings if "  # " not in line and not line.startswith("    ")]
    assert mute == []
    assert re.search(r"^width: 500 +# neurons in every layer$", done.stdout, re.MULTILINE)
    assert re.search(r"^  sparsity: 0.9 +# the share of weights that are zero$", done.stdout, re.MULTILINE)
    assert re.search(r"^  mem_gb: 8 +# per element$", done.stdout, re.MULTILINE)
    assert "'width,batch=[64,100],[128,200]'" in done.stdout
