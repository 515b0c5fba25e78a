//! The customizers in order: a cached layer where nothing changed, else the step, sealed as a layer.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use egress_gateway::Connection;

use crate::base::{self, Base, MAX_AGE};
use crate::cache::{Cache, LayerRecord, now};
use crate::digest::KeyBuilder;
use crate::error::{BuildError, Result};
use crate::event::{Event, Phase, StepState};
use crate::manifest::{Manifest, StepNote};
use crate::packages;
use crate::run::Context;
use crate::step::{Machine, Task};
use crate::user;

/// A stack of layers under construction.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Layers, topmost first, relative to the cache.
    pub lowers: Vec<PathBuf>,
    /// Identity of the stack: the topmost layer's instance.
    pub identity: String,
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
        let mut stack = Self { lowers: vec![base.relative()], identity: base.record.id.clone() };
        let key = KeyBuilder::new("user")
            .part("parent", stack.identity.as_bytes())
            .part("user", user::fingerprint().as_bytes())
            .finish();
        if context.cache.layer(&key).is_none() {
            let scratch = context.work.overlay("user")?;
            context.run_job(&user::JOB, "", &stack.lowers, &scratch)?;
            let record = LayerRecord {
                // Made of nothing but its key, so that it is the same whenever it is made.
                instance: key.clone(),
                name: "build user".into(),
                created: now(),
                used_network: false,
                seconds: 0.0,
                connections: Vec::new(),
            };
            context.cache.seal_layer(&key, &scratch.join("upper"), &record, context.work)?;
        }
        stack.push(&key, key.clone());
        Ok(stack)
    }

    fn push(&mut self, key: &str, identity: String) {
        self.lowers.insert(0, Cache::layer_path(key));
        self.identity = identity;
    }
}

/// Everything the steps need beside the context.
#[derive(Debug)]
pub struct Customizing<'a> {
    /// Where steps run.
    pub machine: &'a Machine<'a>,
    /// The base.
    pub base: &'a Base,
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
        (context.observer)(&Event::Phase { name: Phase::Customize });
        for task in tasks {
            let scratch = RefCell::new(None);
            if let Err(error) = self.one(context, &mut stack, task, u32_of(tasks.len()), &scratch) {
                return Err(Box::new(Failed { error, stack, scratch: scratch.into_inner() }));
            }
        }
        Ok(stack)
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
        let content = task.content();
        let key = KeyBuilder::new("layer")
            .part("parent", stack.identity.as_bytes())
            .part("content", content.as_bytes())
            .part("environment", self.environment.as_bytes())
            .finish();
        let event = |state, seconds, why: Option<String>, age_seconds| Event::Step {
            index: task.index,
            of,
            name: task.name.clone(),
            state,
            seconds,
            why,
            age_seconds,
        };
        let note = |state: &str, cached, age_seconds, seconds| StepNote {
            index: task.index,
            name: task.name.clone(),
            type_name: task.type_name.to_owned(),
            state: state.to_owned(),
            cached,
            key: key.clone(),
            age_seconds,
            seconds,
            content: content.clone(),
            environment: self.environment.to_owned(),
        };
        let why = match self.usable(context.cache, &key, task, &content) {
            Ok(layer) => {
                let age = now().saturating_sub(layer.created);
                (context.observer)(&event(StepState::Cached, None, None, Some(age)));
                self.notes.borrow_mut().push(note("succeeded", true, age, layer.seconds));
                context
                    .log
                    .borrow_mut()
                    .say(&format!("{}: a layer of {age} seconds ago is reused", task.name))?;
                let rows = layer.connections.into_iter().map(|row| Connection { step: task.index, ..row });
                context.earlier_connections.borrow_mut().extend(rows);
                stack.push(&key, layer.instance);
                return Ok(());
            }
            Err(why) => why,
        };
        (context.observer)(&event(StepState::Started, None, Some(why), None));
        let started = Instant::now();
        let scratch = context.work.overlay("step")?;
        *scratch_out.borrow_mut() = Some(scratch.clone());
        context.log.borrow_mut().telemetry("Starting provisioner", task.provisioner())?;
        let outcome = self.machine.run(context, task, task.index, &stack.lowers, &scratch);
        context.log.borrow_mut().telemetry("ending", task.provisioner())?;
        match outcome {
            Ok(outcome) => {
                self.share_packages(context, stack, &scratch, &outcome.added_packages)?;
                let record = LayerRecord {
                    instance: uuid::Uuid::new_v4().simple().to_string(),
                    name: task.name.clone(),
                    created: now(),
                    used_network: outcome.used_network,
                    seconds: outcome.seconds,
                    connections: outcome.connections,
                };
                context.cache.seal_layer(&key, &scratch.join("upper"), &record, context.work)?;
                (context.observer)(&event(StepState::Succeeded, Some(outcome.seconds), None, None));
                self.notes.borrow_mut().push(note("succeeded", false, 0, outcome.seconds));
                stack.push(&key, record.instance);
                Ok(())
            }
            Err(error) => {
                let seconds = started.elapsed().as_secs_f64();
                (context.observer)(&event(StepState::Failed, Some(seconds), Some(error.to_string()), None));
                self.notes.borrow_mut().push(note("failed", false, 0, seconds));
                Err(error)
            }
        }
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
    fn usable(
        &self,
        cache: &Cache,
        key: &str,
        task: &Task,
        content: &str,
    ) -> std::result::Result<LayerRecord, String> {
        if self.freshness.no_cache {
            return Err("--no-cache".to_owned());
        }
        let Some(layer) = cache.layer(key) else { return Err(self.what_changed(task, content)) };
        let age = now().saturating_sub(layer.created);
        let base_age = base::age(self.base);
        match layer.used_network {
            true if self.freshness.refresh => Err("--refresh, and the step uses the network".to_owned()),
            true if age.max(base_age) > MAX_AGE => {
                Err(format!("its layer used the network and is {} days old", age / 86400))
            }
            _ => Ok(layer),
        }
    }

    fn what_changed(&self, task: &Task, content: &str) -> String {
        let steps = self.previous.map(|manifest| manifest.steps.as_slice()).unwrap_or_default();
        match steps.iter().find(|step| step.index == task.index) {
            None => "it has not run here before".to_owned(),
            Some(old) if old.content != content => "what it does changed".to_owned(),
            Some(old) if old.environment != self.environment => {
                "the network policy or the build's settings changed".to_owned()
            }
            Some(old) if old.state != "succeeded" => "it failed the last time".to_owned(),
            Some(_) => "something below it changed, or its layer was removed".to_owned(),
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
