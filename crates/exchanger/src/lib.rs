//! Orders at the external venue
