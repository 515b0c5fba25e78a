//! Makes a finished machine into an image: no identity, no secret, no trace of the build.
