//! Orders, sagas and deposits
