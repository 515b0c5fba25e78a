//! The customizers in order: a cached layer where nothing changed, else the step, sealed as a layer.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use egress_gateway::Connection;

use crate::base::{Base, MAX_AGE};
use crate::cache::{Cache, LayerRecord, now};
use crate::checkpoint::{Checkpoint, reached};
use crate::digest::KeyBuilder;
use crate::error::{BuildError, Result};
use crate::event::{Event, Phase, StepState};
use crate::manifest::{Manifest, StepNote};
use crate::packages;
use crate::read_ahead::ReadAhead;
use crate::rooted::{Kind, Rooted};
use crate::run::Context;
use crate::step::Machine;
use crate::task::{DEPROVISIONING_SCRIPT, Task};
use crate::user;

/// A stack of layers under construction.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Layers, topmost first, relative to the cache.
    pub lowers: Vec<PathBuf>,
    /// Identity of the stack: the topmost layer's instance.
    pub identity: String,
    /// A script of the image's author has run instead of the service's deprovisioning.
    pub deprovisioned: bool,
}

/// Which cached layers count.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// No cached layer counts.
    pub no_cache: bool,
    /// No cached layer counts whose step used the network.
    pub refresh: bool,
}

impl Stack {
    /// A stack of the base and, above it, the build user.
    ///
    /// # Errors
    /// When the user cannot be added.
    pub fn new(context: &Context<'_>, base: &Base) -> Result<Self> {
        let mut stack =
            Self { lowers: vec![base.relative()], identity: base.record.id.clone(), deprovisioned: false };
        let key = KeyBuilder::new("user")
            .part("parent", stack.identity.as_bytes())
            .part("user", user::fingerprint().as_bytes())
            .finish();
        let made = context.cache.layer(&key);
        let layer = if let Some(layer) = made {
            layer
        } else {
            let scratch = context.work.overlay("user")?;
            let overlay = context.overlay(&stack.lowers, &scratch);
            context.run_job(&user::JOB, "", Some(overlay), &[])?;
            let record = LayerRecord {
                key: key.clone(),
                // Made of nothing but its key, so that it is the same whenever it is made.
                instance: key,
                name: "build user".into(),
                created: now(),
                used_network: false,
                seconds: 0.0,
                deprovisioned: false,
                connections: Vec::new(),
            };
            context.cache.seal_layer(&scratch.join("upper"), &record, context.work)?;
            reached(Checkpoint::UserLayerSealed);
            record
        };
        stack.push(&layer);
        Ok(stack)
    }

    /// Whether the topmost layer that says anything about a file has it. A layer that removes one has a device in its
    /// place.
    fn has(&self, cache: &Cache, path: &str) -> bool {
        self.lowers.iter().find_map(|lower| kind_in(cache, lower, path)) == Some(Kind::File)
    }

    /// Whether a layer above the base has one of these paths.
    pub fn customized(&self, cache: &Cache, paths: &[&str]) -> bool {
        let above_base = self.lowers.split_last().map(|(_, above)| above).unwrap_or_default();
        above_base.iter().any(|lower| paths.iter().any(|path| kind_in(cache, lower, path).is_some()))
    }

    /// Puts a layer on top.
    pub fn push(&mut self, layer: &LayerRecord) {
        self.lowers.insert(0, layer.path());
        self.identity.clone_from(&layer.instance);
    }
}

/// What a layer has at a path. Steps have made it, so that a link on the way must not lead out of it.
fn kind_in(cache: &Cache, lower: &Path, path: &str) -> Option<Kind> {
    Rooted::open(&cache.root().join(lower)).ok()?.kind(path).ok()?
}

/// Everything the steps need beside the context.
#[derive(Debug)]
pub struct Customizing<'a> {
    /// Where steps run.
    pub machine: &'a Machine<'a>,
    /// The base.
    pub base: &'a Base,
    /// Reads the base while the first step runs, for whoever writes the disk; none when no disk is wanted.
    pub read_ahead: Option<&'a ReadAhead>,
    /// Digest of what steps run in: user, variables, network policy in force.
    pub environment: &'a str,
    /// Which cached layers count.
    pub freshness: Freshness,
    /// The previous build's manifest in the same output folder, to say what changed.
    pub previous: Option<&'a Manifest>,
    /// Rows for this build's manifest.
    pub notes: &'a RefCell<Vec<StepNote>>,
}

impl Customizing<'_> {
    /// Runs `tasks` on top of `stack`. A failing step's own changes stay in the returned scratch folder.
    ///
    /// # Errors
    /// The scratch folder of the step that failed, and why.
    pub fn run(
        &self,
        context: &Context<'_>,
        mut stack: Stack,
        tasks: &[Task],
    ) -> std::result::Result<Stack, Box<Failed>> {
        for task in tasks {
            let of = u32_of(tasks.len()).max(task.index);
            let scratch = RefCell::new(None);
            if let Err(error) = self.one(context, &mut stack, task, of, &scratch) {
                return Err(Box::new(Failed { error, stack, scratch: scratch.into_inner() }));
            }
        }
        Ok(stack)
    }

    /// Runs the script that a customizer has left for the service's last step, when there is one.
    ///
    /// # Errors
    /// As [`Customizing::run`].
    pub fn deprovision(
        &self,
        context: &Context<'_>,
        stack: Stack,
        index: u32,
    ) -> std::result::Result<Stack, Box<Failed>> {
        if !stack.has(context.cache, DEPROVISIONING_SCRIPT) {
            return Ok(stack);
        }
        let stack = self.run(context, stack, &[Task::deprovision(index)])?;
        Ok(Stack { deprovisioned: true, ..stack })
    }

    fn one(
        &self,
        context: &Context<'_>,
        stack: &mut Stack,
        task: &Task,
        of: u32,
        scratch_out: &RefCell<Option<PathBuf>>,
    ) -> Result<()> {
        context.cancel.check()?;
        let key = KeyBuilder::new("layer")
            .part("parent", stack.identity.as_bytes())
            .part("content", task.content().as_bytes())
            .part("environment", self.environment.as_bytes())
            .finish();
        let step = Step::new(task, of, key);
        match self.usable(context.cache, &step) {
            Ok(layer) => self.reuse(context, stack, &step, layer),
            Err(why) => {
                self.read_ahead.iter().for_each(|ahead| ahead.start());
                (context.observer)(&step.event(StepState::Started, None, Some(why), None));
                let scratch = context.work.overlay("step")?;
                *scratch_out.borrow_mut() = Some(scratch.clone());
                reached(Checkpoint::StepBegun);
                let name = format!("step {}: {}", task.index, task.name);
                context.timeline.part(name, || self.execute(context, stack, &step, &scratch))
            }
        }
    }

    fn reuse(
        &self,
        context: &Context<'_>,
        stack: &mut Stack,
        step: &Step<'_>,
        layer: LayerRecord,
    ) -> Result<()> {
        self.tell_reuse(context, step, &layer)?;
        stack.push(&layer);
        let rows = layer.connections.into_iter().map(|row| Connection { step: step.task.index, ..row });
        context.earlier_connections.borrow_mut().extend(rows);
        Ok(())
    }

    /// Tells and logs that a layer is used again.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn tell_reuse(&self, context: &Context<'_>, step: &Step<'_>, layer: &LayerRecord) -> Result<()> {
        let age = now().saturating_sub(layer.created);
        (context.observer)(&step.event(StepState::Cached, None, None, Some(age)));
        self.notes.borrow_mut().push(step.note("succeeded", Some(age), layer.seconds, self.environment));
        // Readers count the markers to know a step's number.
        let mut log = context.log.borrow_mut();
        log.telemetry("Starting provisioner", step.task.provisioner())?;
        log.say(&format!("{}: a layer of {age} seconds ago is reused", step.task.name))?;
        log.telemetry("ending", step.task.provisioner())
    }

    /// Tells how a step that ran ended.
    pub fn tell_end(&self, context: &Context<'_>, step: &Step<'_>, error: Option<&BuildError>, seconds: f64) {
        let (state, name) = match error {
            None => (StepState::Succeeded, "succeeded"),
            Some(_) => (StepState::Failed, "failed"),
        };
        let why = error.map(ToString::to_string);
        (context.observer)(&step.event(state, Some(seconds), why, None));
        self.notes.borrow_mut().push(step.note(name, None, seconds, self.environment));
    }

    fn execute(
        &self,
        context: &Context<'_>,
        stack: &mut Stack,
        step: &Step<'_>,
        scratch: &Path,
    ) -> Result<()> {
        let task = step.task;
        let started = Instant::now();
        context.log.borrow_mut().telemetry("Starting provisioner", task.provisioner())?;
        let outcome = self.machine.run(context, task, task.index, &stack.lowers, scratch);
        // Why the step failed says more than why that could not be logged.
        let logged = context.log.borrow_mut().telemetry("ending", task.provisioner());
        let outcome = outcome.inspect_err(|error| {
            self.tell_end(context, step, Some(error), started.elapsed().as_secs_f64());
        })?;
        logged?;
        reached(Checkpoint::StepRan);
        context
            .timeline
            .part("packages", || self.share_packages(context, stack, scratch, &outcome.added_packages))?;
        reached(Checkpoint::PackagesAdmitted);
        let record = LayerRecord {
            key: step.key.clone(),
            instance: uuid::Uuid::new_v4().simple().to_string(),
            name: task.name.clone(),
            created: now(),
            used_network: outcome.used_network,
            seconds: outcome.seconds,
            deprovisioned: false,
            connections: outcome.connections,
        };
        context
            .timeline
            .part("seal", || context.cache.seal_layer(&scratch.join("upper"), &record, context.work))?;
        reached(Checkpoint::LayerSealed);
        self.tell_end(context, step, None, outcome.seconds);
        stack.push(&record);
        Ok(())
    }

    fn share_packages(
        &self,
        context: &Context<'_>,
        stack: &Stack,
        scratch: &Path,
        added: &Path,
    ) -> Result<()> {
        let mut lowers = stack.lowers.clone();
        lowers.insert(0, scratch.join("upper"));
        packages::admit(context, self.base, added, &self.machine.packages, &lowers).map(drop)
    }

    /// The cached layer, or why there is none that counts.
    ///
    /// # Errors
    /// Why the step has to run.
    pub fn usable(&self, cache: &Cache, step: &Step<'_>) -> std::result::Result<LayerRecord, String> {
        if self.freshness.no_cache {
            return Err("--no-cache".to_owned());
        }
        let Some(layer) = cache.layer(&step.key) else { return Err(self.what_changed(step)) };
        let age = now().saturating_sub(layer.created);
        match layer.used_network {
            true if self.freshness.refresh => Err("--refresh, and the step uses the network".to_owned()),
            true if age.max(self.base.staleness()) > MAX_AGE => {
                Err(format!("its layer used the network and is {} days old", age / 86400))
            }
            _ => Ok(layer),
        }
    }

    fn what_changed(&self, step: &Step<'_>) -> String {
        let steps = self.previous.map(|manifest| manifest.steps.as_slice()).unwrap_or_default();
        let text = match steps.iter().find(|old| old.index == step.task.index) {
            None => "it has not run here before",
            Some(old) if old.content != step.digest => "what it does changed",
            Some(old) if old.environment != self.environment => {
                "the network policy or the build's settings changed"
            }
            Some(old) if old.state != "succeeded" => "it failed the last time",
            Some(_) => "something below it changed, or its layer was removed",
        };
        text.to_owned()
    }
}

/// A task in its place.
#[derive(Debug)]
pub struct Step<'a> {
    task: &'a Task,
    of: u32,
    /// Key of its layer.
    key: String,
    /// Digest of what it does.
    digest: String,
}

impl<'a> Step<'a> {
    /// A task, one of so many, whose result is in the layer of `key`.
    pub fn new(task: &'a Task, of: u32, key: String) -> Self {
        Self { task, of, key, digest: task.content() }
    }

    /// What is told about it.
    pub fn event(
        &self,
        state: StepState,
        seconds: Option<f64>,
        why: Option<String>,
        age_seconds: Option<u64>,
    ) -> Event {
        let name = self.task.name.clone();
        Event::Step {
            phase: Phase::Customize,
            index: self.task.index,
            of: self.of,
            name,
            state,
            seconds,
            why,
            age_seconds,
        }
    }

    /// A row of the manifest; `age` when the layer was in the cache.
    fn note(&self, state: &str, age: Option<u64>, seconds: f64, environment: &str) -> StepNote {
        StepNote {
            index: self.task.index,
            name: self.task.name.clone(),
            type_name: self.task.type_name.to_owned(),
            state: state.to_owned(),
            cached: age.is_some(),
            key: self.key.clone(),
            age_seconds: age.unwrap_or_default(),
            seconds,
            content: self.digest.clone(),
            environment: environment.to_owned(),
        }
    }
}

/// A step that failed and where its changes are.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: BuildError,
    /// The layers below it.
    pub stack: Stack,
    /// What it had changed, when it had begun.
    pub scratch: Option<PathBuf>,
}

impl Failed {
    /// The layers a person would look at: the failed step's own on top.
    pub fn lowers(&self) -> Vec<PathBuf> {
        self.scratch
            .iter()
            .map(|scratch| scratch.join("upper"))
            .chain(self.stack.lowers.iter().cloned())
            .collect()
    }
}

fn u32_of(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
