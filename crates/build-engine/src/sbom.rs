//! What is in the image, as a `CycloneDX` bill of materials.
