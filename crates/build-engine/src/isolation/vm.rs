//! All customizers in one virtual machine: one boot, then each step as the service runs it, over SSH; the disk is
//! read back when the guest has been shut down and becomes one layer.
//!
//! QEMU runs in the network namespace of a sandbox that does nothing else, so the guest's connections are those of a
//! step in namespaces: the same rules catch them and the same gateway decides and records. While the guest boots
//! there is nothing to reach, and what its services try is no part of the record.

use std::time::Instant;

use egress_gateway::{Gateway, Mode, Session};
use network_policy::NetworkPolicy;
use sandbox::{Job, NetworkSockets, Running, Spec};

use super::disk::{self, GuestDisk};
use super::steps::Steps;
use crate::boot::{BootError, BuildGuest, BuildGuestOrder, Key};
use crate::cache::{LayerRecord, now};
use crate::checkpoint::{Checkpoint, reached};
use crate::customize::{Customizing, Stack};
use crate::digest::KeyBuilder;
use crate::error::{BuildError, Result};
use crate::event::Event;
use crate::network::Outbound;
use crate::run::{Context, OUT_OF_TIME};
use crate::task::{DEPROVISIONING_SCRIPT, Task};

/// The function that a sandbox runs that is there for its network only; it ends when it is killed.
pub const HOLD: Job = Job {
    name: "hold-network",
    run: |_, _| loop {
        std::thread::park();
    },
};

/// Ends what begins by itself in a booted machine and would do network traffic and package work of its own beside
/// the steps; a step may start it again.
const QUIET_DOWN: &str = "systemctl is-system-running --wait; \
    sudo -n systemctl stop chrony.service apt-daily.timer apt-daily-upgrade.timer; \
    sudo -n resolvectl llmnr eth0 no; true";

/// What a build in a virtual machine needs beside the customizers.
#[derive(Debug)]
pub struct Vm {
    /// Size of the guest's disk in GiB.
    pub size_gib: u32,
    /// Open a shell in the guest when a step fails.
    pub shell_on_error: bool,
    /// What runs last when a step has left a script of its own for it.
    pub deprovision: Option<Task>,
}

/// Runs `tasks` on top of `stack` in a virtual machine, or finds the layer that they made before. One layer, with all
/// that they changed, is then on top.
///
/// # Errors
/// [`BuildError::Step`] when one fails; [`BuildError::Host`] when the machine cannot be booted or its disk not be read.
pub fn run(
    context: &Context<'_>,
    customizing: &Customizing<'_>,
    vm: &Vm,
    mut stack: Stack,
    tasks: &[Task],
) -> Result<Stack> {
    let steps = Steps { customizing, tasks, key: key(customizing, &stack, tasks) };
    let layer = match steps.cached(context)? {
        Ok(layer) => layer,
        Err(why) => build(context, &steps, vm, &stack, &why)?,
    };
    stack.push(&layer);
    Ok(Stack { deprovisioned: layer.deprovisioned, ..stack })
}

/// One layer for all steps: a running machine cannot be put aside between them. Never one that namespaces made.
fn key(customizing: &Customizing<'_>, stack: &Stack, tasks: &[Task]) -> String {
    let key = KeyBuilder::new("vm-layer")
        .part("parent", stack.identity.as_bytes())
        .part("environment", customizing.environment.as_bytes());
    tasks.iter().fold(key, |key, task| key.part("content", task.content().as_bytes())).finish()
}

fn build(context: &Context<'_>, steps: &Steps<'_>, vm: &Vm, stack: &Stack, why: &str) -> Result<LayerRecord> {
    let started = Instant::now();
    let (guest, network, files) = context.timeline.part("boot", || boot(context, steps, vm, stack))?;
    reached(Checkpoint::GuestBooted);
    let mut connections = Vec::new();
    let mut run = |task: &Task, why: &str| {
        let serving = network.serve(task.index)?;
        let outcome = context.timeline.part(format!("step {}: {}", task.index, task.name), || {
            steps.one(context, &guest, task, why, || drop(serving))
        });
        connections.extend(outcome.inspect_err(|error| {
            if vm.shell_on_error && matches!(error, BuildError::Step(_)) {
                open_shell(context, &network, &guest, error);
            }
        })?);
        reached(Checkpoint::GuestStepRan);
        Ok::<_, BuildError>(())
    };
    for task in steps.tasks {
        run(task, why)?;
    }
    let own = vm.deprovision.as_ref();
    let own = match guest.run(&format!("test -f {DEPROVISIONING_SCRIPT}"))?.exit {
        Some(0) => own,
        _ => None,
    };
    own.map_or(Ok(()), |task| run(task, "a step has left it"))?;
    context.timeline.part("shut down", || guest.power_off())?;
    reached(Checkpoint::GuestOff);
    let changes =
        context.timeline.part("take back", || disk::take_back(context, &files.disk, &stack.lowers))?;
    let record = LayerRecord {
        key: steps.key.clone(),
        instance: uuid::Uuid::new_v4().simple().to_string(),
        name: format!("{} steps in a virtual machine", steps.tasks.len()),
        created: now(),
        used_network: connections.iter().any(|row| row.bytes_in > 0),
        seconds: started.elapsed().as_secs_f64(),
        deprovisioned: own.is_some(),
        connections,
    };
    context.cache.seal_layer(&changes, &record, context.work)?;
    Ok(record)
}

/// A guest that is ready for the first step.
fn boot<'a>(
    context: &Context<'_>,
    steps: &'a Steps<'a>,
    vm: &Vm,
    stack: &Stack,
) -> Result<(BuildGuest, Network<'a>, GuestDisk)> {
    context.cancel.check()?;
    let note = |text: String| (context.observer)(&Event::Note { text });
    note("booting the virtual machine that the steps run in".to_owned());
    let key = Key::make(context.work.path())?;
    let files = disk::make(context, &stack.lowers, vm.size_gib, &key.public)?;
    let network = Network::new(context, steps)?;
    let nowhere = Outbound::default().gateway(Mode::Enforce, Some(&NetworkPolicy::default_for(&[])))?;
    let booting = network.attach(&nowhere, 0)?;
    let guest = BuildGuest::boot(key, &order(context, &files, &network), &note)?;
    guest.run(QUIET_DOWN)?;
    steps.provide_build_only(&guest)?;
    drop(booting);
    Ok((guest, network, files))
}

fn order(context: &Context<'_>, files: &GuestDisk, network: &Network<'_>) -> BuildGuestOrder {
    BuildGuestOrder {
        disk: files.disk.clone(),
        kernel: files.kernel.clone(),
        initrd: files.initrd.clone(),
        sandbox: network.sandbox.id(),
        work: context.work.path().to_path_buf(),
        cancel: context.cancel.flag(),
        deadline: context.deadline,
    }
}

fn open_shell(context: &Context<'_>, network: &Network<'_>, guest: &BuildGuest, error: &BuildError) {
    let text = format!("{error}\na shell in the virtual machine; leave it with exit");
    (context.observer)(&Event::Note { text });
    let serving = network.serve(0);
    if let Err(error) = serving.and_then(|_serving| Ok(guest.interactive()?)) {
        (context.observer)(&Event::Warning { text: format!("failed to open the shell: {error}") });
    }
}

/// The network namespace that QEMU runs in.
struct Network<'a> {
    steps: &'a Steps<'a>,
    sandbox: Running,
    sockets: NetworkSockets,
}

impl<'a> Network<'a> {
    fn new(context: &Context<'_>, steps: &'a Steps<'a>) -> Result<Self> {
        let spec = Spec { network: true, ..context.job(&HOLD, String::new()) };
        let mut sandbox = sandbox::spawn(&spec)?;
        let sockets = sandbox.take_sockets().ok_or_else(|| BuildError::host("the sandbox has no network"))?;
        Ok(Self { steps, sandbox, sockets })
    }

    /// Lets the build's gateway decide and record under the number of a step until the session is dropped.
    fn serve(&self, step: u32) -> Result<Session> {
        self.attach(self.steps.customizing.machine.gateway, step)
    }

    fn attach(&self, gateway: &Gateway, step: u32) -> Result<Session> {
        let fail = |why: String| BuildError::host(format!("failed to serve the build's network: {why}"));
        let copy =
            |socket: &std::os::fd::OwnedFd| socket.try_clone().map_err(|error| fail(error.to_string()));
        let sockets = NetworkSockets {
            tcp: copy(&self.sockets.tcp)?,
            dns: copy(&self.sockets.dns)?,
            refused: copy(&self.sockets.refused)?,
        };
        gateway.attach(step, sockets).map_err(|error| fail(error.to_string()))
    }
}

impl From<BootError> for BuildError {
    fn from(error: BootError) -> Self {
        match error {
            BootError::Cancelled => Self::Interrupted,
            BootError::OutOfTime => Self::host(OUT_OF_TIME),
            BootError::Tool(error) => Self::Tool(error),
            other => Self::Host {
                message: format!("the virtual machine of the steps: {}", crate::error::full_text(&other)),
                hint: other.hint(),
            },
        }
    }
}
