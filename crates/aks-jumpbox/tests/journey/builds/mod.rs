//! The tests. They share processors, a cache and a build at a time, so the test runner takes them one by one.

mod bad_input;
mod bases;
mod customizers;
mod failures;
mod hostile;
mod interruption;
mod journey;
mod kill;
mod layers;
mod network;
mod packages;
mod service;
mod sharing;
mod sources;
mod validation;
