//! A build from start to end: sources, base, customizers, disk, validators, results.

mod customization;
mod image;
mod validation;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use egress_gateway::{Connection, Gateway, Mode};
use network_policy::NetworkPolicy;
use sandbox::{Choice, IdMap};

use crate::base::{self, Base, GivenBase, Origin};
use crate::boot_arguments;
use crate::cache::Cache;
use crate::cancel::Cancel;
use crate::checkpoint::{Checkpoint, reached};
use crate::customize::{Customizing, Freshness, Stack};
use crate::digest::{KeyBuilder, sha256};
use crate::disk::{self, Disk};
use crate::error::{BuildError, Result};
use crate::event::{Event, Observer, Phase, RunState};
use crate::fetch::Fetcher;
use crate::finish::{self, Order, Target, Writing};
use crate::limits::{self, Limits};
use crate::lock;
use crate::log::PackerLog;
use crate::manifest::{BaseNote, LastRunStatus, Manifest};
use crate::network::{self, BuildOnly};
use crate::output;
use crate::packages;
use crate::read_ahead::ReadAhead;
use crate::request::{BuildReport, BuildRequest};
use crate::run::Context;
use crate::space::USUAL_DISK;
use crate::step::Machine;
use crate::task::{DEPROVISIONING_SCRIPT, Fetch, Task};
use crate::timeline::{self, FINISH, Timeline};
use crate::user;

/// Minutes of a build whose template states 0 (azure-image-builder.md 1.3).
const DEFAULT_TIMEOUT_MINUTES: u32 = 240;

/// Runs a build. The results are in the request's output folder; logs, egress record and manifest also when it
/// fails.
///
/// # Errors
/// [`BuildError`], after everything that was started has been stopped and removed.
pub fn build(request: &BuildRequest, observer: &Observer<'_>, cancel: &Cancel) -> Result<BuildReport> {
    let started = Instant::now();
    let (origin, mut warnings) = Origin::of(request)?;
    let _lock = output::take(&request.output, &request.name)?;
    reached(Checkpoint::OutputTaken);
    let mut waits = lock::patience("the cache is being pruned", observer, cancel);
    let cache = Cache::open(&request.cache, &mut waits)?;
    let mut work = cache.work()?;
    let given = request.base.as_ref().map(GivenBase::file);
    let paths: Vec<_> = [cache.root(), &request.output].into_iter().chain(given).collect();
    let Choice { id_map, fallback } = IdMap::choose(&paths)?;
    warnings.extend(fallback.map(|why| {
        format!("root inside the build's sandbox is the owner of root's files outside, without root's powers: {why}")
    }));
    warnings.extend(limits::missing(&id_map));
    let log_path = request.output.join("customization.log");
    let log = RefCell::new(PackerLog::create(&log_path, &uuid::Uuid::new_v4().to_string())?);
    reached(Checkpoint::LogBegun);
    let timeline = Timeline::new(started);
    let own_connections = RefCell::new(Vec::new());
    let earlier_connections = RefCell::new(Vec::new());
    let session = Build {
        request,
        previous: Manifest::read(&request.output),
        manifest: RefCell::new(first_manifest(request, &id_map)),
        notes: RefCell::new(Vec::new()),
        gateway: RefCell::new(None),
    };
    let context = Context {
        cache: &cache,
        work: &work,
        id_map: &id_map,
        observer,
        cancel,
        log: &log,
        outbound: &request.outbound,
        own_connections: &own_connections,
        earlier_connections: &earlier_connections,
        deadline: started + time_limit(request),
        timeline: &timeline,
    };
    let only_in_azure = session.manifest.borrow().only_in_azure.clone().into_iter();
    let only_in_azure = only_in_azure.map(|what| format!("{what}: only a build in Azure does that"));
    warnings.into_iter().chain(only_in_azure).for_each(|text| session.warn(&context, text));
    let made = session.run(&context, origin);
    // A terminal's Ctrl-C also ends the programs that run: that they failed is not what happened.
    let made = made.map_err(|error| cancel.check().err().unwrap_or(error));
    let kept = session.manifest.borrow().kept.is_some();
    if !kept {
        // Part of the build's time; what cannot be removed now is removed by the next run.
        let _ = context.timeline.part("clearing up", || work.clear());
    }
    let ended = session.close(&context, &made);
    if kept {
        work.keep()?;
    }
    if let (Err(_), Err(unwritten)) = (&made, &ended) {
        observer(&Event::Warning { text: unwritten.with_causes() });
    }
    let made = made?;
    let connections = ended?;
    Ok(BuildReport {
        manifest: session.manifest.into_inner(),
        image: made.image,
        allocated_bytes: made.allocated_bytes,
        connections,
        seconds: started.elapsed().as_secs_f64(),
        unchanged: made.unchanged,
    })
}

fn time_limit(request: &BuildRequest) -> Duration {
    let minutes = match request.template.build_timeout_minutes {
        0 => DEFAULT_TIMEOUT_MINUTES,
        minutes => minutes,
    };
    request.options.time_limit.unwrap_or(Duration::from_secs(u64::from(minutes) * 60))
}

fn first_manifest(request: &BuildRequest, id_map: &IdMap) -> Manifest {
    Manifest {
        last_run_status: LastRunStatus {
            start_time: jiff::Timestamp::now().to_string(),
            ..Default::default()
        },
        only_in_azure: crate::differences::only_in_azure(&request.template),
        template_sha256: sha256(request.template.to_json().as_bytes()),
        smoke_tests: request.smoke_tests.iter().map(Into::into).collect(),
        id_map: id_map.name().to_owned(),
        limits: Limits::of(id_map),
        isolation: request.options.isolation,
        ..Manifest::default()
    }
}

/// What a build has at hand besides its context.
struct Build<'a> {
    request: &'a BuildRequest,
    previous: Option<Manifest>,
    manifest: RefCell<Manifest>,
    notes: RefCell<Vec<crate::manifest::StepNote>>,
    gateway: RefCell<Option<Gateway>>,
}

/// What the middle of a build came to.
struct Made {
    image: Option<PathBuf>,
    allocated_bytes: u64,
    unchanged: bool,
}

/// An image in its place.
struct Placed {
    disk: Disk,
    sbom: String,
    /// Why a validator failed whose failure does not keep the image from its place.
    failure: Option<BuildError>,
}

impl Build<'_> {
    /// A part of the build begins.
    fn enter(&self, context: &Context<'_>, phase: Phase) {
        self.manifest.borrow_mut().last_run_status.run_sub_state = phase.run_sub_state();
        (context.observer)(&Event::phase(phase));
    }

    /// Tells something that a careful user would act on, now and in the manifest.
    fn warn(&self, context: &Context<'_>, text: String) {
        self.manifest.borrow_mut().warnings.push(text.clone());
        (context.observer)(&Event::Warning { text });
    }

    fn run(&self, context: &Context<'_>, origin: Origin<'_>) -> Result<Made> {
        // As the service does at submission: what cannot be fetched is known before anything runs.
        let (tasks, validators) = context.timeline.part("sources", || self.tasks(context))?;
        let (selected, all) = self.selected(&tasks)?;
        for text in selected.iter().chain(&validators).flat_map(|task| &task.warnings) {
            self.warn(context, text.clone());
        }
        self.enter(context, Phase::Base);
        let base =
            context.timeline.part("base", || base::ensure(context, origin, self.request.options.refresh))?;
        self.manifest.borrow_mut().base = Some(base_note(&base));
        let policy = self.policy(&base);
        let mode = if self.request.options.learn { Mode::Learn } else { Mode::Enforce };
        let gateway = self.request.outbound.gateway(mode, Some(&policy))?;
        let build_only =
            BuildOnly::prepare(&context.work.folder("only")?, &base, &self.request.outbound.authorities)?;
        let machine = Machine {
            gateway: &gateway,
            policy: &policy,
            build_only: &build_only,
            packages: packages::store(context, &base)?,
            disk_bytes: self.request.disk_gib().map_or(USUAL_DISK, |size| u64::from(size) << 30),
        };
        let environment = self.environment(&policy, &build_only);
        let read_ahead = ReadAhead::of(base.root.clone(), !validators.is_empty());
        let customizing = Customizing {
            machine: &machine,
            base: &base,
            read_ahead: all.then_some(&read_ahead),
            environment: &environment,
            freshness: Freshness {
                no_cache: self.request.options.no_cache,
                refresh: self.request.options.refresh,
            },
            previous: self.previous.as_ref(),
            notes: &self.notes,
        };
        let result = context.timeline.part("build user", || Stack::new(context, &base)).and_then(|stack| {
            let validate = self.request.template.validate.as_ref();
            if validate.is_some_and(|validate| validate.source_validation_only) {
                return self.validate_source(context, &machine, &stack, &validators);
            }
            self.enter(context, Phase::Customize);
            let ran = context
                .timeline
                .part("customize", || self.customized(context, &customizing, stack, selected, all));
            let stack = ran?;
            if all { self.image(context, &machine, &stack, &validators) } else { Ok(nothing()) }
        });
        *self.gateway.borrow_mut() = Some(gateway);
        result
    }

    fn tasks(&self, context: &Context<'_>) -> Result<(Vec<Task>, Vec<Task>)> {
        let template = &self.request.template;
        let outbound = &self.request.outbound;
        let fetcher = Fetcher::new(self.request.template_folder.clone(), outbound, context.cancel)?;
        let fetch = Fetch { fetcher: &fetcher, note: context.own_connections };
        let isolation = self.request.options.isolation;
        let tasks = template.customize.iter().enumerate();
        let tasks = tasks.map(|(index, step)| Task::of_customizer(number(index), step, &fetch, isolation));
        let tasks = tasks.collect::<Result<Vec<_>>>()?;
        let checks = template.validate.iter().flat_map(|validate| &validate.in_vm_validations).enumerate();
        let checks = checks.map(|(index, step)| Task::of_validator(number(index), step, &fetch));
        Ok((tasks, checks.collect::<Result<Vec<_>>>()?))
    }

    /// The tasks up to `--until`, and whether that is all of them.
    fn selected<'t>(&self, tasks: &'t [Task]) -> Result<(&'t [Task], bool)> {
        let Some(until) = &self.request.options.until else { return Ok((tasks, true)) };
        let found = tasks.iter().position(|task| task.index.to_string() == *until || task.name == *until);
        match found {
            Some(at) => Ok((&tasks[..=at], false)),
            None => Err(BuildError::Input {
                message: format!("no step is called or numbered '{until}'"),
                hint: Some(format!("the template has steps 1 to {}", tasks.len())),
            }),
        }
    }

    fn policy(&self, base: &Base) -> NetworkPolicy {
        let default = || network::default_policy(&self.request.allow, &base.record.archive_hosts);
        self.request.policy.clone().unwrap_or_else(default)
    }

    fn environment(&self, policy: &NetworkPolicy, build_only: &BuildOnly) -> String {
        KeyBuilder::new("environment")
            .part("user", user::fingerprint().as_bytes())
            .part("files", build_only.fingerprint().as_bytes())
            .part("policy", policy.canonical().as_bytes())
            .part("learn", &[u8::from(self.request.options.learn)])
            .part("undecided", &[u8::from(self.request.outbound.allow_undecided)])
            .finish()
    }

    fn image(
        &self,
        context: &Context<'_>,
        machine: &Machine<'_>,
        stack: &Stack,
        validators: &[Task],
    ) -> Result<Made> {
        let file = format!("{}.vhd", self.request.name);
        let path = self.request.output.join(&file);
        let key = self.image_key(stack, validators);
        if let Some(made) = self.unchanged(&path, &key)? {
            let left = self.previous.iter().flat_map(|manifest| manifest.identities_left.clone());
            self.note_identities(context, &left.collect::<Vec<_>>());
            self.enter(context, Phase::Distribute);
            return Ok(made);
        }
        let placed = self.placed(context, machine, stack, validators, &path);
        let Placed { disk, sbom, failure } = placed.inspect_err(|_| {
            // Why it failed is what counts; what could not be removed now is removed by the next build.
            let _ = output::remove_unfinished(&self.request.output, &self.request.name);
        })?;
        context.timeline.part("distribute", || self.note_image(context, &file, &path, &disk, &sbom, &key))?;
        match failure {
            Some(failure) => {
                // Without a seal, the next build makes the image anew and validates it again.
                self.manifest.borrow_mut().seal = None;
                Err(failure)
            }
            None => Ok(Made { image: Some(path), allocated_bytes: disk.allocated_bytes, unchanged: false }),
        }
    }

    /// Warns of what an author's own script did not remove, each time the image is handed over.
    fn note_identities(&self, context: &Context<'_>, left: &[String]) {
        if !left.is_empty() {
            self.manifest.borrow_mut().identities_left = left.to_vec();
            let left = left.join(", ");
            let text =
                format!("{DEPROVISIONING_SCRIPT} left {left}: every machine of this image has the same");
            self.warn(context, text);
        }
    }

    /// Writes the disk while the validators run on what it is written from, and gives it its name.
    fn placed(
        &self,
        context: &Context<'_>,
        machine: &Machine<'_>,
        stack: &Stack,
        validators: &[Task],
        path: &Path,
    ) -> Result<Placed> {
        self.enter(context, Phase::Generalise);
        context.log.borrow_mut().telemetry("Starting provisioner", "shell")?;
        let order = Order {
            size_gib: self.request.disk_gib(),
            kernel_arguments: boot_arguments::read(context, stack)?,
            deprovisioned: stack.deprovisioned,
        };
        let scratch = context.work.overlay("finish")?;
        let prepare = || finish::prepare(context, &order, &stack.lowers, &scratch);
        let prepared = context.timeline.part(FINISH, prepare)?;
        for line in &prepared.generalised {
            context.log.borrow_mut().say(line)?;
        }
        self.note_identities(context, &prepared.identities_left);
        context.log.borrow_mut().telemetry("ending", "shell")?;
        self.enter(context, Phase::Disk);
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let fresh = self.request.output.join(output::unfinished(&file));
        let vhd = std::path::absolute(&fresh).map_err(BuildError::io("find", &fresh))?;
        let target = Target { vhd, compared: !validators.is_empty() };
        let layers: Vec<_> =
            std::iter::once(scratch.join("upper")).chain(stack.lowers.iter().cloned()).collect();
        let writing = Writing::begin(context, &prepared.plan, &target, &layers, self.previous.is_some())?;
        let failure = match self.validated(context, machine, layers, validators) {
            Ok(failure) => failure,
            Err(error) => {
                writing.stop();
                return Err(error);
            }
        };
        // Only now does it count what the validators found.
        let disk = writing.end(context)?;
        self.enter(context, Phase::Distribute);
        reached(Checkpoint::Validated);
        // What the manifest says is about the image that goes, never about the one that comes.
        Manifest::withdraw(&self.request.output)?;
        reached(Checkpoint::ManifestWithdrawn);
        let replaced = fs::File::open(path);
        fs::rename(&fresh, path).map_err(BuildError::io("place", path))?;
        // Freeing its blocks takes as long as much of what is left to do.
        std::thread::spawn(move || drop(replaced));
        reached(Checkpoint::ImagePlaced);
        Ok(Placed { disk, sbom: prepared.sbom, failure })
    }

    /// Writes what is written however a build ends: log, egress record, manifest.
    fn close(&self, context: &Context<'_>, made: &Result<Made>) -> Result<Vec<Connection>> {
        let mut connections = context.own_connections.borrow().clone();
        connections.extend(context.earlier_connections.borrow().iter().cloned());
        if let Some(gateway) = self.gateway.borrow_mut().take() {
            connections.extend(gateway.record().connections);
        }
        connections.sort_by_key(|row| row.step);
        let record = egress_gateway::EgressRecord { connections };
        let mut text = serde_json::to_vec_pretty(&record).unwrap_or_default();
        text.push(b'\n');
        crate::manifest::replace(&self.request.output.join("egress.json"), &text)?;
        reached(Checkpoint::EgressWritten);
        let mut manifest = self.manifest.borrow_mut();
        manifest.last_run_status.end_time = jiff::Timestamp::now().to_string();
        manifest.last_run_status.run_state = match made {
            Ok(_) => RunState::Succeeded,
            Err(error) => error.run_state(),
        };
        manifest.steps.clone_from(&self.notes.borrow());
        manifest.timeline = context.timeline.parts();
        let stages = timeline::stages(&manifest.timeline);
        if !stages.is_empty() {
            manifest.stages = stages;
        }
        (context.observer)(&Event::Timings { parts: manifest.timeline.clone() });
        if let Err(error) = made {
            manifest.error = Some(error.to_string());
            context.log.borrow_mut().errored(error)?;
        }
        manifest.write(&self.request.output)?;
        reached(Checkpoint::ManifestReplaced);
        context.log.borrow_mut().finish()?;
        reached(Checkpoint::LogClosed);
        Ok(record.connections)
    }
}

fn base_note(base: &Base) -> BaseNote {
    BaseNote {
        name: base.record.name.clone(),
        id: base.record.id.clone(),
        age_seconds: base::age(base),
        cached: base.cached,
        packages: base.record.packages,
        sha256: base.record.given.as_ref().map(|given| given.sha256.clone()),
    }
}

/// A step's number from its place in the list.
fn number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

fn nothing() -> Made {
    Made { image: None, allocated_bytes: 0, unchanged: false }
}

fn disk_error(error: &disk::DiskError) -> BuildError {
    BuildError::host(error.to_string())
}
