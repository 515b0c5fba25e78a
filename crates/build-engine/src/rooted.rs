//! A folder tree that nothing leads out of.
