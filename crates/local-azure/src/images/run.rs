//! A run: the engine on a thread of its own, and the template's status beside it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use build_engine::cancel::Cancel;
use build_engine::error::BuildError;
use build_engine::event::{Event, RunSubState};
use build_engine::manifest::Manifest;
use build_engine::request::{BuildOptions, BuildRequest};
use http::StatusCode;
use image_template::ImageTemplate;
use uuid::Uuid;

use super::needs::{Moment, State};
use super::provision::Refusal;
use super::status::{self, RunState};
use super::template::{Kept, set_operation};
use super::{distribute, remains, sources, staging};
use crate::LocalAzure;
use crate::error::ArmError;
use crate::lro::Operation;
use crate::store::Row;

/// Runs that go on in this process, by the key of their template.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    running: Mutex<HashMap<String, Cancel>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Runs {
    fn begin(&self, key: &str) -> Cancel {
        let cancel = Cancel::new();
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), cancel.clone());
        cancel
    }

    fn end(&self, key: &str) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Asks the run of a template to stop.
    pub fn cancel(&self, key: &str) {
        if let Some(cancel) = self.running.lock().unwrap_or_else(PoisonError::into_inner).get(key) {
            cancel.cancel();
        }
    }

    /// Stops every run and waits until each has cleaned up.
    pub fn stop(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(Cancel::cancel);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// How a run ended badly.
enum Ended {
    Refused(Refusal),
    Canceled,
}

impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ArmError> for Ended {
    fn from(error: ArmError) -> Self {
        Self::Refused(error.into())
    }
}

impl LocalAzure {
    /// Writes down that a run begins; false when the same request has begun it before.
    pub(crate) fn begin_run(
        &self,
        key: &str,
        location: &str,
        replay: Option<&str>,
    ) -> Result<(Operation, bool), ArmError> {
        self.store.write(|transaction| {
            if let Some(operation) = Operation::replayed(transaction, key, location, replay)? {
                return Ok((operation, false));
            }
            let kept =
                Kept::find(transaction, key)?.ok_or_else(|| ArmError::internal("a template vanished"))?;
            status::require_idle(&kept.row.body, "run")?;
            if kept.row.body["properties"]["provisioningState"] != "Succeeded" {
                return Err(status::not_allowed("run", &kept.row.body));
            }
            let operation = Operation::start(transaction, key, location, replay)?;
            status::set_run(transaction, key, RunState::Running, Some("Queued"), None)?;
            set_operation(transaction, key, Some(&operation.id))?;
            Ok((operation, true))
        })
    }

    /// Runs a template beside the requests that go on.
    pub(crate) fn start_run(&self, key: &str, operation: &Operation) {
        let cancel = self.runs.begin(key);
        let (azure, key, operation) = (self.shared(), key.to_owned(), operation.id.clone());
        let thread = std::thread::spawn(move || {
            if let Err(error) = azure.run_now(&key, &operation, &cancel) {
                (azure.log)(&format!("running {key} failed: {}", error.internal.unwrap_or(error.message)));
            }
            azure.runs.end(&key);
        });
        let mut threads = self.runs.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }

    fn run_now(&self, key: &str, operation: &str, cancel: &Cancel) -> Result<(), ArmError> {
        let Some(kept) = self.store.read(|connection| Kept::find(connection, key))? else { return Ok(()) };
        let run = Uuid::new_v4().to_string();
        let outcome = self.build(&kept, &run, cancel);
        let place = staging::place(&kept.row.body);
        self.store.write(|transaction| {
            let (state, message, error) = match &outcome {
                Ok(()) => (RunState::Succeeded, String::new(), None),
                Err(Ended::Canceled) => (RunState::Canceled, "The run was canceled.".to_owned(), None),
                Err(Ended::Refused(refusal)) => {
                    let message = failed_message(refusal, place.as_ref(), &run, operation);
                    let error = ArmError::new(StatusCode::BAD_REQUEST, "PackerBuildFailed", message.clone());
                    (RunState::Failed, message, Some(error))
                }
            };
            status::set_run(transaction, key, state, None, Some(&message))?;
            let word = match state {
                RunState::Succeeded => "Succeeded",
                RunState::Canceled => "Canceled",
                _ => "Failed",
            };
            Operation::end(transaction, operation, word, error.as_ref())?;
            set_operation(transaction, key, None)
        })
    }

    /// Runs the engine and places what it made.
    fn build(&self, kept: &Kept, run: &str, cancel: &Cancel) -> Result<(), Ended> {
        let key = &kept.row.key;
        let template = kept.template()?;
        let (_, account) =
            staging::place(&kept.row.body).ok_or_else(|| ArmError::internal("a template without a place"))?;
        let state = State::of(self, &template)?;
        state.require(&template, Moment::Building)?;
        let output = self.container(&account, "packerlogs").map_err(ArmError::from)?.join(run);
        self.store.write(|transaction| remains::remove(self, transaction, &kept.row))?;
        let policy = state.policy(&template)?;
        let mut local = template.clone();
        let folder = sources::collect(self, &mut local)?;
        let request = BuildRequest {
            template_folder: folder.as_ref().map(|folder| folder.path().to_owned()),
            ..self.request(kept, local, policy, output)
        };
        let observer = |event: &Event| {
            if let Event::Phase { run_sub_state, .. } = event {
                let _ = self.store.write(|transaction| {
                    status::set_run(
                        transaction,
                        key,
                        RunState::Running,
                        Some(sub_state(*run_sub_state)),
                        None,
                    )
                });
            }
        };
        let report = build_engine::build(&request, &observer, cancel).map_err(|error| match error {
            BuildError::Interrupted => Ended::Canceled,
            error => Ended::Refused(self.failed(kept, run, &request.output, &error)),
        })?;
        let image = report.image.ok_or_else(|| ArmError::internal("a build without an image"))?;
        let placed = self.place(kept, &template, (&account, run), &image);
        let _ = std::fs::remove_file(&image);
        placed
    }

    /// Why a build failed, and where what it left is kept.
    fn failed(&self, kept: &Kept, run: &str, output: &Path, error: &BuildError) -> Refusal {
        let mut refusal = Refusal::new("Other", error.with_causes());
        // Whoever may write the log's container could have named another folder.
        let ours = |folder: &PathBuf| folder.parent() == Some(&self.cache.join("work"));
        if let Some(folder) = Manifest::read(output).and_then(|manifest| manifest.kept).filter(ours) {
            let told = match remains::keep(self, kept, run, &folder) {
                Ok(id) => format!(". What the failed step left is kept as {id} in {}", folder.display()),
                Err(error) => format!(". What the failed step left could not be kept: {}", error.message),
            };
            refusal.message.push_str(&told);
        }
        refusal
    }

    /// Places a finished image where its template's identity may write.
    fn place(
        &self,
        kept: &Kept,
        template: &ImageTemplate,
        at: (&str, &str),
        image: &Path,
    ) -> Result<(), Ended> {
        self.store.write(|transaction| {
            status::set_run(transaction, &kept.row.key, RunState::Running, Some("Distributing"), None)
        })?;
        // Roles may have changed since the run began: what counts is now.
        State::of(self, template)?.require(template, Moment::Distribution)?;
        distribute::all(self, kept, template, at, image).map_err(Ended::from)
    }

    fn request(
        &self,
        kept: &Kept,
        template: ImageTemplate,
        policy: network_policy::NetworkPolicy,
        output: PathBuf,
    ) -> BuildRequest {
        BuildRequest {
            name: kept.row.body["name"].as_str().unwrap_or("image").to_owned(),
            template,
            template_folder: None,
            base: None,
            smoke_tests: Vec::new(),
            policy: Some(policy),
            allow: Vec::new(),
            outbound: self.outbound.clone(),
            cache: self.cache.clone(),
            output,
            options: BuildOptions::default(),
        }
    }

    /// Ends what a process that is no more has left: templates that were being made are made now, runs have failed.
    pub(crate) fn recover(&self) -> Result<(), ArmError> {
        let left: Vec<Row> = self.store.read(|connection| {
            let kind = super::IMAGE_TEMPLATE.to_ascii_lowercase();
            Ok(Row::of_type(connection, &kind, &self.subscription(), None, crate::store::ALL)?.rows)
        })?;
        for row in left {
            if row.body["properties"]["provisioningState"] == "Creating" {
                self.provision(&row.key);
            }
            let state = status::run_state(&row.body);
            if state.is_some_and(|state| !state.is_over()) {
                let message = "The local endpoint ended while the build ran. Run the template again.";
                self.store.write(|transaction| {
                    let ended = if state == Some(RunState::Canceling) {
                        RunState::Canceled
                    } else {
                        RunState::Failed
                    };
                    status::set_run(transaction, &row.key, ended, None, Some(message))?;
                    let error = ArmError::new(StatusCode::BAD_REQUEST, "InternalOperationError", message);
                    Operation::end_left(transaction, &row.key, &error)?;
                    set_operation(transaction, &row.key, None)
                })?;
            }
        }
        Ok(())
    }
}

fn sub_state(state: RunSubState) -> &'static str {
    match state {
        RunSubState::Queued => "Queued",
        RunSubState::Building => "Building",
        RunSubState::Customizing => "Customizing",
        RunSubState::Validating => "Validating",
        RunSubState::Distributing => "Distributing",
    }
}

/// The message of a failed run in the form of the service (azure-image-builder.md 2.3): the log as an ARM path.
fn failed_message(refusal: &Refusal, place: Option<&(String, String)>, run: &str, operation: &str) -> String {
    let mut message = format!("Failed while processing the run: {}", refusal.message);
    if let Some((group, account)) = place {
        let _ = write!(
            message,
            ". Image Build log location: {group}/providers/Microsoft.Storage/storageAccounts/{account}/blobServices/default/\
             containers/packerlogs/{run}/customization.log. Use this operationId {operation} to search packer logs"
        );
    }
    message
}
