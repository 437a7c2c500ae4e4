"""A forward and a backward pass seen from outside: `watch` makes its rows, `untouched` leaves no trace."""
