//! The only way out of a build: transparent TCP proxy and DNS, enforced and recorded.
