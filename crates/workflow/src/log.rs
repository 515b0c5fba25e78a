//! The log of a run: read as it grows, with the steps of the template found in it.

use std::fs;
use std::path::{Path, PathBuf};

use azure::Blob;
use serde::Deserialize;

use crate::Workflow;
use crate::error::{Error, While};
use crate::event::Event;
use crate::steps::access::Assignment;
use azure::resources::{Resource, RunStatus, StepLabel, StorageAccount, Template, version};

/// Storage Blob Data Reader.
const BLOB_READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
const CONTAINER: &str = "packerlogs";
/// What a run leaves.
const LOGS: [&str; 2] = ["customization.log", "validation.log"];
/// Marks the beginning of a step (azure-image-builder.md 3.3).
const STARTS: &str = "(telemetry) Starting provisioner ";

/// A log that is being read: what the container instance prints where that may be read, which is sooner, and the blob, which
/// is whole.
#[derive(Default)]
pub(crate) struct Reader {
    /// Address of the blob, once it is there.
    blob: Option<String>,
    read: u64,
    /// The end of what was read of the blob, up to a line that is not whole yet.
    rest: String,
    /// The container instance may not be read, or is none.
    no_container: bool,
    lines: Lines,
    steps: usize,
    /// It was told why it cannot be read.
    told: bool,
}

/// Which lines are new, when two sources tell the same lines.
#[derive(Debug, Default)]
struct Lines {
    /// How many were told of the container.
    of_container: usize,
    /// The last one of them: where a container keeps only the end of its log, new lines come behind it.
    last: Option<String>,
    /// How many were read of the blob.
    of_blob: usize,
}

impl Lines {
    /// The new lines of all that a container still holds. The last one may not be whole.
    fn of_container<'t>(&mut self, content: &'t str) -> Vec<&'t str> {
        let whole = content.rfind('\n').map_or("", |end| &content[..end]);
        let lines: Vec<_> = whole.lines().collect();
        let known = self.last.as_ref().and_then(|last| lines.iter().rposition(|line| line == last));
        let new = lines[known.map_or(0, |at| at + 1)..].to_vec();
        self.of_container += new.len();
        self.last = new.last().map(|line| (*line).to_owned()).or(self.last.take());
        new
    }

    /// Whether a line of the blob is one that the container had not told.
    fn of_blob(&mut self) -> bool {
        self.of_blob += 1;
        self.of_blob > self.of_container
    }
}

/// What a container group printed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Logs {
    content: String,
}

impl Reader {
    /// Reads what is new and tells it. A log that cannot be read stops nothing.
    pub fn read(&mut self, workflow: &mut Workflow<'_>, template: &Template) -> Result<(), Error> {
        match self.news(workflow, template) {
            Ok(lines) => self.tell(workflow, template, &lines),
            Err(Error::Azure { error, .. }) => {
                if !self.told && !error.is_transient() {
                    self.told = true;
                    let text = format!("the log of the run cannot be read yet: {error}");
                    workflow.watch.tell(&Event::Warning { text });
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn news(&mut self, workflow: &mut Workflow<'_>, template: &Template) -> Result<Vec<String>, Error> {
        let Some(group) = &template.properties.exact_staging_resource_group else { return Ok(Vec::new()) };
        let goes_on = template.properties.last_run_status.as_ref().is_some_and(RunStatus::goes_on);
        if goes_on && !self.no_container {
            match workflow.container_log(group) {
                Ok(Some(content)) => {
                    let lines = self.lines.of_container(&content);
                    return Ok(lines.into_iter().map(str::to_owned).collect());
                }
                Ok(None) => {}
                // Whoever follows a run need not be allowed to.
                Err(Error::Azure { error, .. }) if error.status().is_some() => self.no_container = true,
                Err(error) => return Err(error),
            }
        }
        if self.blob.is_none() {
            self.blob = workflow.log_of(group, template)?;
        }
        let Some(blob) = &self.blob else { return Ok(Vec::new()) };
        let bytes = workflow.client.download(blob, self.read).to(|| "read the log".to_owned())?;
        let bytes = bytes.unwrap_or_default();
        self.read += bytes.len() as u64;
        self.rest.push_str(&String::from_utf8_lossy(&bytes));
        let Some(end) = self.rest.rfind('\n') else { return Ok(Vec::new()) };
        let whole: String = self.rest.drain(..=end).collect();
        Ok(whole.lines().filter(|_| self.lines.of_blob()).map(str::to_owned).collect())
    }

    fn tell(&mut self, workflow: &Workflow<'_>, template: &Template, lines: &[String]) {
        for line in lines {
            let text = without_prefix(line);
            if let Some(at) = text.find(STARTS) {
                self.steps += 1;
                let steps = &template.properties.customize;
                let name = name_of(steps, self.steps, &text[at + STARTS.len()..]);
                workflow.watch.tell(&Event::Customizer { index: self.steps, of: steps.len(), name });
            } else if !text.contains("(telemetry)") {
                workflow.watch.tell(&Event::Log { text: text.to_owned() });
            }
        }
    }
}

/// The label of a step; the one after the last is the service's own (azure-image-builder.md 8.5).
fn name_of(steps: &[StepLabel], index: usize, provisioner: &str) -> String {
    match steps.get(index - 1) {
        Some(step) => step.name.clone().unwrap_or_else(|| step.kind.clone()),
        None if index == steps.len() + 1 => "deprovision".to_owned(),
        None => provisioner.trim().to_owned(),
    }
}

/// A line without the operation, the word and the time that begin it (azure-image-builder.md 3.3, both generations).
fn without_prefix(line: &str) -> &str {
    let after = match line.split_once("] PACKER ") {
        Some((operation, rest)) if operation.starts_with('[') => rest,
        _ => line.strip_prefix("PACKER ").unwrap_or(line),
    };
    let after = after.strip_prefix("OUT ").or_else(|| after.strip_prefix("ERR ")).unwrap_or(after);
    let is_dated = after.len() > 20
        && after.is_char_boundary(20)
        && after.bytes().take(20).enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'/',
            10 | 19 => byte == b' ',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    let after = if is_dated { &after[20..] } else { after };
    after.strip_prefix("ui error: ").or_else(|| after.strip_prefix("ui: ")).unwrap_or(after)
}

impl Workflow<'_> {
    /// Address of the container of logs in a staging resource group.
    fn logs_in(&self, group: &str) -> Result<Option<String>, Error> {
        let path = format!("{group}/providers/Microsoft.Storage/storageAccounts");
        let accounts: Vec<StorageAccount> =
            self.client.list(&path, version::STORAGE).to(|| format!("look at {group}"))?;
        let blob = accounts.into_iter().find_map(|account| account.properties.primary_endpoints.blob);
        Ok(blob.map(|blob| format!("{}/{CONTAINER}", blob.trim_end_matches('/'))))
    }

    /// All logs of a template, the newest first.
    pub(crate) fn logs(&mut self, group: &str) -> Result<Vec<(String, Blob)>, Error> {
        let Some(container) = self.logs_in(group)? else { return Ok(Vec::new()) };
        let mut asked = self.client.blobs(&container);
        if matches!(&asked, Err(error) if error.status() == Some(403)) && self.may_read(group)? {
            asked = self.client.blobs(&container);
        }
        let mut blobs = match asked {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            asked => asked.to(|| "list the logs".to_owned())?,
        };
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.modified));
        Ok(blobs.into_iter().map(|blob| (format!("{container}/{}", blob.name), blob)).collect())
    }

    /// Lets whoever asks read the blobs of a staging resource group: a role for a while, and no key of the account. False
    /// when that was so already, or it is not known who asks.
    fn may_read(&mut self, group: &str) -> Result<bool, Error> {
        let Some(principal) = self.audit.object_id().map(str::to_owned) else { return Ok(false) };
        let assignment =
            Assignment { scope: group, role: BLOB_READER, principal: &principal, principal_type: None };
        self.assign(&assignment)
    }

    /// The log of the run that goes on. Each run has a folder of its own, and the newest is this one's: those that were
    /// there when the run began are passed over.
    fn log_of(&mut self, group: &str, template: &Template) -> Result<Option<String>, Error> {
        let began = template.properties.last_run_status.as_ref().and_then(|last| last.start_time.as_deref());
        let began =
            began.and_then(|time| time.parse::<jiff::Timestamp>().ok()).map(jiff::Timestamp::as_second);
        let logs = self.logs(group)?.into_iter();
        let mut own = logs.filter(|(_, blob)| {
            let newer = began.is_none_or(|began| blob.modified.is_none_or(|modified| modified >= began));
            newer && blob.name.ends_with("/customization.log")
        });
        Ok(own.next().map(|(url, _)| url))
    }

    /// Saves the logs of a template's runs, the last one's or all, each run's in a folder of its own.
    ///
    /// # Errors
    /// When they cannot be read, or the folder not written.
    pub fn save_logs(&mut self, template: &str, folder: &Path, all: bool) -> Result<Vec<PathBuf>, Error> {
        let template = self.there(template)?;
        let Some(group) = template.properties.exact_staging_resource_group else { return Ok(Vec::new()) };
        let logs = self.logs(&group)?;
        let last = logs.iter().find_map(|(_, blob)| blob.name.split_once('/')).map(|(run, _)| run.to_owned());
        let mut saved = Vec::new();
        for (url, blob) in &logs {
            // Names of blobs are others' words: a run and a log, and nothing that leads elsewhere.
            let Some((run, name)) = blob.name.split_once('/') else { continue };
            let is_plain = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            let wanted = is_plain(run) && !run.starts_with('.') && LOGS.contains(&name);
            if !wanted || !(all || last.as_deref() == Some(run)) {
                continue;
            }
            let bytes = self.client.download(url, 0).to(|| format!("read {url}"))?.unwrap_or_default();
            let file = folder.join(run).join(name);
            let failed = |error| Error::File { path: file.clone(), error };
            fs::create_dir_all(folder.join(run)).map_err(failed)?;
            fs::write(&file, bytes).map_err(failed)?;
            saved.push(file);
        }
        Ok(saved)
    }

    /// What the container instance of a run has printed, where it may be read: sooner than the blob, and not all of it.
    pub(crate) fn container_log(&self, group: &str) -> Result<Option<String>, Error> {
        let path = format!("{group}/providers/Microsoft.ContainerInstance/containerGroups");
        let groups: Vec<Resource> =
            self.client.list(&path, version::CONTAINERS).to(|| format!("look at {group}"))?;
        let Some(own) = groups.into_iter().next() else { return Ok(None) };
        let name = own.id.rsplit('/').next().unwrap_or_default();
        let path = format!("{}/containers/{name}/logs", own.id);
        let logs: Option<Logs> =
            self.client.get(&path, version::CONTAINERS).to(|| "read the log".to_owned())?;
        Ok(logs.map(|logs| logs.content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_generations_lose_what_is_on_each() {
        let guid = "0a1b2c3d-0000-4000-8000-000000000000";
        let lines = [
            (
                format!("[{guid}] PACKER OUT ==> azure-arm: Connected to SSH!"),
                "==> azure-arm: Connected to SSH!",
            ),
            (format!("[{guid}] PACKER ERR 2023/06/13 08:28:58 [INFO] x"), "[INFO] x"),
            (format!("[{guid}] PACKER 2025/03/18 20:42:48 ui:     azure-arm: E: no"), "    azure-arm: E: no"),
            ("PACKER 2025/03/18 20:42:48 ui error: no".to_owned(), "no"),
            ("anything else".to_owned(), "anything else"),
        ];
        for (line, rest) in lines {
            assert_eq!(without_prefix(&line), rest);
        }
    }

    #[test]
    fn lines_that_two_sources_tell_are_told_once() {
        let mut lines = Lines::default();
        assert_eq!(lines.of_container("a\nb\nc, not wh"), ["a", "b"]);
        assert_eq!(lines.of_container("a\nb\nc, not wh"), [""; 0]);
        // The beginning is gone by now.
        assert_eq!(lines.of_container("b\nc, not whole\nd\n"), ["c, not whole", "d"]);
        let of_blob = ["a", "b", "c, not whole", "d", "e"].into_iter().filter(|_| lines.of_blob());
        assert_eq!(of_blob.collect::<Vec<_>>(), ["e"]);
    }

    #[test]
    fn the_step_after_the_last_is_the_services_own() {
        let step =
            |kind: &str, name: Option<&str>| StepLabel { kind: kind.into(), name: name.map(Into::into) };
        let steps = [step("Shell", Some("Install tools")), step("File", None)];
        let named: Vec<_> = (1..=4).map(|index| name_of(&steps, index, "shell\n")).collect();
        assert_eq!(named, ["Install tools", "File", "deprovision", "shell"]);
    }
}
