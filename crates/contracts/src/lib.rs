//! What the services agree on: ids, money, time, messages and the ports through which they call each other
