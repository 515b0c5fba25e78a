//! The life of a machine: a thread of its own that boots it, hands it scripts, and ends it. QEMU ends with the thread that
//! started it, so there is one for as long as the machine runs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use build_engine::boot::{self, BootError, Firmware, Machine, MachineSpec, TrySpec};
use build_engine::cancel::Cancel;
use http::StatusCode;

use super::command::{self, Order};
use super::image::Image;
use crate::LocalAzure;
use crate::compute::MACHINE;
use crate::error::ArmError;
use crate::lro::Operation;
use crate::store::{ALL, Row};

/// A machine that boots or runs.
#[derive(Debug)]
struct Running {
    cancel: Cancel,
    orders: Sender<Order>,
}

/// Machines of this process, by their key.
#[derive(Debug, Default)]
pub(crate) struct Machines {
    running: Mutex<HashMap<String, Running>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Machines {
    /// Has a machine end, if it runs.
    pub fn end(&self, key: &str) {
        if let Some(running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(key) {
            running.cancel.cancel();
        }
    }

    /// Hands an order to a machine; false when it does not run.
    pub fn order(&self, key: &str, order: Order) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(key).is_some_and(|running| running.orders.send(order).is_ok())
    }

    /// Whether a machine runs.
    pub fn runs(&self, key: &str) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    /// Ends every machine and waits until each is gone.
    pub fn stop(&self) {
        let all = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for running in all.into_values() {
            running.cancel.cancel();
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl LocalAzure {
    /// Boots a machine beside the requests that go on.
    pub(super) fn start_machine(
        &self,
        key: &str,
        operation: &Operation,
        image: Image,
    ) -> Result<(), ArmError> {
        let (cancel, (orders, inbox)) = (Cancel::new(), channel());
        let running = Running { cancel: cancel.clone(), orders };
        self.machines.running.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), running);
        let folder = tempfile::tempdir_in(self.folder.join("spool"))?;
        let (azure, key, operation) = (self.shared(), key.to_owned(), operation.id.clone());
        let thread = std::thread::spawn(move || {
            let ended = azure.live(
                &key,
                &operation,
                &Place { image, folder: folder.path(), cancel: &cancel },
                &inbox,
            );
            if let Err(error) = ended {
                (azure.log)(&format!("the machine {key}: {}", error.internal.unwrap_or(error.message)));
            }
        });
        let mut threads = self.machines.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    fn live(
        &self,
        key: &str,
        operation: &str,
        place: &Place<'_>,
        inbox: &Receiver<Order>,
    ) -> Result<(), ArmError> {
        let booted = place.boot();
        let error = booted.as_ref().err().map(|error| {
            let message = format!("OS Provisioning for VM did not finish: {error}");
            ArmError::new(StatusCode::CONFLICT, "OSProvisioningClientError", message)
        });
        self.tell(key, operation, error.as_ref())?;
        let Ok(machine) = booted else {
            self.machines.end(key);
            return Ok(());
        };
        // Ends when nobody can give orders any more.
        for order in inbox {
            command::carry_out(self, &machine, &order)?;
        }
        Ok(())
    }

    /// Writes down how the boot ended.
    fn tell(&self, key: &str, operation: &str, error: Option<&ArmError>) -> Result<(), ArmError> {
        let state = if error.is_none() { "Succeeded" } else { "Failed" };
        self.store.write(|transaction| {
            if let Some(mut row) = Row::find(transaction, key)? {
                row.body["properties"]["provisioningState"] = state.into();
                Row::put(transaction, &row.body)?;
            }
            Operation::end(transaction, operation, state, error)
        })
    }

    /// Machines of a process that is no more do not run any more.
    pub(crate) fn recover_machines(&self) -> Result<(), ArmError> {
        self.store.write(|transaction| {
            let all =
                Row::of_type(transaction, &MACHINE.to_ascii_lowercase(), &self.subscription(), None, ALL)?;
            let message = "The local endpoint ended while the machine ran. Make it again.";
            let error = ArmError::conflict("OperationNotAllowed", message);
            for mut row in all.rows {
                Operation::end_left(transaction, &row.key, &error)?;
                if row.body["properties"]["provisioningState"] == "Creating" {
                    row.body["properties"]["provisioningState"] = "Failed".into();
                    Row::put(transaction, &row.body)?;
                }
            }
            Ok(())
        })
    }
}

/// Where and how a machine boots.
struct Place<'a> {
    image: Image,
    folder: &'a Path,
    cancel: &'a Cancel,
}

impl Place<'_> {
    fn boot(&self) -> Result<Machine, BootError> {
        let mut spec = TrySpec::new(self.image.file.clone(), self.folder.to_owned());
        spec.secure_boot = self.image.secure_boot;
        spec.cancel = self.cancel.flag();
        let firmware = Firmware::find(spec.secure_boot)?;
        let found = boot::probe(&firmware, self.folder, &spec.cancel)?;
        let usual = spec.machine(1, found.accelerator)?;
        let machine = MachineSpec { disk_size: self.image.disk.or(usual.disk_size), ..usual };
        boot::boot(&machine, 1, &|_| {}).map(|(machine, _)| machine)
    }
}
