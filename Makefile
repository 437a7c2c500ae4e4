# make sweep: the main job on this machine.   make test: the tests.   Each is sufficient alone.
PYTHON ?= python3
BIN = .venv/bin
GRID ?= init=xavier,kaiming act=tanh,relu
LOWEST ?= tests/report/frames tests/report/figures tests/report/test_drawing.py tests/test_plot.py tests/store/test_tables.py

.PHONY: sweep test check lowest torture bench verdicts docs figures clean

sweep: .venv/run
	$(BIN)/python -m sweep -m $(GRID)

test: .venv/dev
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile -m "not slow"

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The lowest versions that pyproject.toml allows: the main job, the report and a quick part of the tests.
lowest: .lowest/run
	.lowest/bin/python -W error -m sweep -m $(GRID) root=.lowest/outputs
	.lowest/bin/python -W error -m sweep.report .lowest/outputs/standard --to .lowest/figures
	CI= .lowest/bin/python -m pytest -n auto --maxprocesses 8 --dist loadfile -m "not slow" $(LOWEST)  # no extras: skips

torture: .venv/dev
	$(BIN)/python -m pytest -m slow
	$(BIN)/python -m tests.torture
	$(BIN)/python -m tests.spoiled
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m tests.differential --jobs 2
	$(BIN)/python -m tests.differential --jobs 2 --seed 1 --passes "compiled with own functions"

bench: .venv/run
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/activations.py
	$(BIN)/python benchmarks/overhead.py

# Is a verdict worth anything? Some thousand small networks, trained: docs/verdict-quality.md. About a quarter of an hour.
verdicts: .venv/run
	$(BIN)/python benchmarks/verdicts.py

docs: .venv/run
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --strict
	@echo "site: build/site/index.html"

figures: .venv/run
	$(BIN)/python -m sweep -m root=.figures
	$(BIN)/python -m sweep -m width=64,512 study=narrow_and_wide root=.figures report=false
	$(BIN)/python -m sweep.report .figures/narrow_and_wide --only heatmap --rows act --cols init --to .figures/first
	$(BIN)/python -m sweep -m grid=textbook root=.figures
	$(BIN)/python -m sweep -m grid=phase root=.figures
	$(BIN)/python -m sweep -m grid=trainability root=.figures
	$(BIN)/python -m sweep root=.figures
	$(BIN)/python -m sweep -m grid=blocks root=.figures
	$(BIN)/python -m sweep -m block=ln,bn init=xavier act=relu,elu,gelu,silu,mish,tanh,hardtanh,sigmoid,softplus depth=20 width=512 batch=256 seed=0,1,2 study=norms root=.figures report=false
	$(BIN)/python -m sweep.report .figures/norms --only heatmap --value delta_std_first --x block --y act --to .figures/price
	cp .figures/first/std.png docs/standard-std.png
	cp .figures/standard/report/layers.png docs/standard-layers.png
	for name in histograms verdict gradients layers; do cp .figures/textbook/report/$$name.png docs/textbook-$$name.png; done
	cp .figures/phase/report/phase.png docs/phase.png
	cp .figures/trainability/report/trainability.png docs/trainability.png
	cp .figures/blocks/report/blocks.png docs/blocks.png
	cp .figures/price/delta_std_first.png docs/norms.png
	cp .figures/single/report/cell-xavier-tanh-*.png docs/cell-xavier-tanh.png
	$(BIN)/python benchmarks/inputs.py --figure docs/inputs.png
	$(BIN)/python -c 'import re, pathlib; page = pathlib.Path("docs/probe.md").read_text(); print(re.search(r"```python\n(# my_models.py\n.*?)```", page, re.S)[1])' > .figures/my_models.py
	cd .figures && ../$(BIN)/python -m sweep.probe my_models:make --input 128,64 --init default,kaiming,xavier --seeds 3 --root .  # needs '.[torch]'
	cp .figures/my_models.make/report/layers.png docs/own-model.png
	rm -rf .figures

# The stamps say what .venv holds; a change of the dependencies makes it again.
.venv/run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "sweep needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[fast,train]'
	touch $@

.venv/dev: .venv/run
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

.lowest/run: .venv/run .ci/lowest.py
	$(PYTHON) -m venv .lowest
	$(BIN)/python .ci/lowest.py > .lowest/pins.txt
	.lowest/bin/python -m pip install -q --disable-pip-version-check -c .lowest/pins.txt -e . pytest pytest-xdist hypothesis
	touch $@

clean:
	rm -rf .venv .lowest build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .figures
