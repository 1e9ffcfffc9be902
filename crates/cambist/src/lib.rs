//! Cambist: the only binary; wires the services together
