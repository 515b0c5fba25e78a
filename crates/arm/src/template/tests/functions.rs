//! Every documented function.
