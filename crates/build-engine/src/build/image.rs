//! The image that a build hands over: whether it is the one that is there already, and what is noted about it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Build, Made, disk_error};
use crate::customize::Stack;
use crate::digest::KeyBuilder;
use crate::disk::{self, Disk};
use crate::distribute;
use crate::error::{BuildError, Result};
use crate::manifest::{Output, Seal};
use crate::run::Context;
use crate::task::Task;

impl Build<'_> {
    pub(super) fn image_key(&self, stack: &Stack, validators: &[Task]) -> String {
        let mut key = KeyBuilder::new("image")
            .part("stack", stack.identity.as_bytes())
            .part("name", self.request.name.as_bytes())
            .part("template", self.manifest.borrow().template_sha256.as_bytes());
        for task in validators {
            key = key.part("validator", task.content().as_bytes());
        }
        key.finish()
    }

    /// The image of the previous build, when nothing that makes it has changed and nobody touched the file.
    pub(super) fn unchanged(&self, path: &Path, key: &str) -> Result<Option<Made>> {
        let Some(previous) = &self.previous else { return Ok(None) };
        let Some(seal) = previous.seal.as_ref().filter(|seal| seal.key == key) else { return Ok(None) };
        if self.request.options.no_cache || !Seal::of(path, key).is_ok_and(|now| now == *seal) {
            return Ok(None);
        }
        let allocated_bytes = fs::metadata(path).map_err(BuildError::io("look at", path))?.blocks() * 512;
        let mut manifest = self.manifest.borrow_mut();
        manifest.image.clone_from(&previous.image);
        manifest.content_sha256.clone_from(&previous.content_sha256);
        manifest.sha256.clone_from(&previous.sha256);
        manifest.bytes = previous.bytes;
        manifest.outputs.clone_from(&previous.outputs);
        manifest.stages.clone_from(&previous.stages);
        manifest.seal.clone_from(&previous.seal);
        if self.request.options.sha256 && manifest.sha256.is_none() {
            manifest.sha256 = Some(disk::full_sha256(path).map_err(|error| disk_error(&error))?);
        }
        Ok(Some(Made { image: Some(path.to_path_buf()), allocated_bytes, unchanged: true }))
    }

    pub(super) fn note_image(
        &self,
        context: &Context<'_>,
        file: &str,
        path: &Path,
        disk: &Disk,
        sbom: &str,
        key: &str,
    ) -> Result<()> {
        let output = &self.request.output;
        crate::manifest::replace(&output.join("sbom.cdx.json"), sbom.as_bytes())?;
        let mut manifest = self.manifest.borrow_mut();
        manifest.outputs.extend(distribute::place(&self.request.template, &self.request.name, file, output)?);
        for (type_name, file) in
            [("sbom", "sbom.cdx.json"), ("log", "customization.log"), ("egress", "egress.json")]
        {
            manifest.outputs.push(Output {
                run_output_name: None,
                type_name: type_name.into(),
                file: file.into(),
            });
        }
        manifest.image = Some(file.to_owned());
        manifest.content_sha256 = Some(disk.content_sha256.clone());
        manifest.bytes = Some(disk.virtual_bytes + disk::vhd::FOOTER_BYTES);
        if self.request.options.sha256 {
            manifest.sha256 = Some(disk::full_sha256(path).map_err(|error| disk_error(&error))?);
        }
        manifest.seal = Some(Seal::of(path, key).map_err(BuildError::io("look at", path))?);
        context.log.borrow_mut().say("Builds finished but no artifacts were created.")
    }
}
