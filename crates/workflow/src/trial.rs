//! A machine of an image, for as long as it takes to try it: in a subnet, without a public address, and removed whatever
//! happens; what a killed process left is removed by the next that works here.

use std::time::{Duration, Instant};

use azure::resources::{
    InterfaceProperties, IpConfiguration, Located, Named, Network, Ran, Reference, Tags, version,
};
use azure::{Operation, Outcome};
use serde_json::{Value, json};

use crate::Workflow;
use crate::deployment::TAG;
use crate::error::{Error, While};
use crate::event::Event;
use crate::state::Kind;

/// Where a machine is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialPlace {
    /// Resource id of the resource group.
    pub group: String,
    /// Resource id of the subnet.
    pub subnet: String,
    /// Size of the machine, such as `Standard_D2s_v5`.
    pub size: String,
}

/// What is tried, where, and who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialSpec {
    /// Resource id of a managed image, a gallery image version, or an image definition, whose latest version is meant then.
    pub image: String,
    /// Where.
    pub place: TrialPlace,
    /// Name of the administrator.
    pub admin: String,
    /// Public key of the administrator, one line of an `authorized_keys` file.
    pub public_key: String,
}

/// What is known of an image before a machine is made of it.
struct Image {
    /// Bytes of its disk.
    size: Option<u64>,
    /// Whether its machines can have Trusted Launch.
    trusted: bool,
}

/// A machine that runs scripts.
#[allow(missing_debug_implementations, reason = "holds a workflow")]
pub struct Shell<'w, 'a> {
    workflow: &'w Workflow<'a>,
    machine: String,
    /// Bytes of the image's disk, where Azure tells them; the machine's disk is larger.
    pub image_size: Option<u64>,
    /// How long it took until the machine was there.
    pub took: Duration,
}

/// How often, and after how long, an interface that is kept for its machine is asked to go again.
const RESERVED_LOOKS: u32 = 7;
const RESERVED_PAUSE: Duration = Duration::from_secs(30);

/// GiB by which the machine's disk is larger than the image, to see that its file system grows.
const GROWTH: u64 = 8;

impl Workflow<'_> {
    /// Makes a machine of an image, hands it to `work`, and removes it with its disk and network interface, also when the user
    /// stops the work.
    ///
    /// # Errors
    /// When the machine cannot be made or removed, and what `work` fails with.
    pub fn with_machine<T, E: From<Error>>(
        &mut self,
        spec: &TrialSpec,
        work: impl FnOnce(&mut Shell<'_, '_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.resume()?;
        self.end_trials()?;
        let begun = Instant::now();
        let made = self.make_machine(spec);
        let ended = match made {
            Ok((machine, image_size)) => {
                work(&mut Shell { workflow: self, machine, image_size, took: begun.elapsed() })
            }
            Err(error) => Err(error.into()),
        };
        // Whatever the user wants now, a machine must not stay.
        self.ending = true;
        let removed = self.end_trials();
        self.ending = false;
        match (ended, removed) {
            (Ok(value), Ok(())) => Ok(value),
            (Err(error), Ok(())) => Err(error),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(first), Err(error)) => {
                let text =
                    format!("what was made to try the image is still there: {error}; `clean` removes it");
                self.watch.tell(&Event::Warning { text });
                Err(first)
            }
        }
    }

    /// Removes what trials have left: a machine before its disk, and that before its network interface.
    pub(crate) fn end_trials(&mut self) -> Result<(), Error> {
        for id in self.state.of_kind(Kind::Trial) {
            // What is being made need not be waited for: it goes all the same.
            self.state.record.waiting.take_if(|waiting| waiting.id == id);
            self.watch.tell(&Event::Waiting { text: format!("removing {id}"), seconds: 0 });
            self.remove_part(&id)?;
        }
        Ok(())
    }

    /// Azure keeps an interface for the machine that it was made for, for three minutes, also when that was never made.
    fn remove_part(&mut self, id: &str) -> Result<(), Error> {
        for _ in 0..RESERVED_LOOKS {
            match self.delete(id, version_of(id)) {
                Err(error) if error.mentions("NicReservedForAnotherVm") => {
                    self.waiting(format!("{id} is kept for its machine"), RESERVED_PAUSE);
                    self.let_pass(RESERVED_PAUSE);
                }
                ended => return ended,
            }
        }
        self.delete(id, version_of(id))
    }

    fn make_machine(&mut self, spec: &TrialSpec) -> Result<(String, Option<u64>), Error> {
        let TrialPlace { group, subnet, .. } = &spec.place;
        let image = self.image(&spec.image)?;
        let network = subnet.rsplit_once("/subnets/").map_or(subnet.as_str(), |(network, _)| network);
        let found = self.client.get::<Network>(network, version::NETWORK);
        let network = found.to(|| format!("look at {network}"))?.ok_or_else(|| Error::Refused {
            what: format!("the network of {subnet} is not there"),
            hint: "name the subnet of the machine by its resource id".to_owned(),
        })?;
        let tags = Tags::from([(TAG.0.to_owned(), TAG.1.to_owned())]);
        let name = format!("vm-try-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let interface = format!("{group}/providers/Microsoft.Network/networkInterfaces/{name}");
        let machine = format!("{group}/providers/Microsoft.Compute/virtualMachines/{name}");
        let disk = format!("{group}/providers/Microsoft.Compute/disks/{name}");
        let body = Located {
            location: network.location.clone(),
            tags: tags.clone(),
            properties: Some(InterfaceProperties {
                ip_configurations: [Named {
                    name: "private",
                    properties: IpConfiguration {
                        allocation: "Dynamic",
                        subnet: Reference { id: subnet.clone() },
                    },
                }],
            }),
        };
        self.waiting(format!("making {machine} of {}", spec.image), Duration::ZERO);
        self.make::<_, Value>(Kind::Trial, (&interface, version::NETWORK), &body)?;
        // The machine makes its disk.
        self.state.intend(Kind::Trial, &disk)?;
        let properties = machine_properties(spec, &image, &interface, &name);
        let body = Located { location: network.location, tags, properties: Some(properties) };
        self.make::<_, Value>(Kind::Trial, (&machine, version::COMPUTE), &body)?;
        Ok((machine, image.size))
    }

    fn image(&self, id: &str) -> Result<Image, Error> {
        let looked =
            |id: &str, version: &str| self.client.get::<Value>(id, version).to(|| format!("look at {id}"));
        let lower = id.to_ascii_lowercase();
        let missing = || Error::Refused {
            what: format!("the image {id} is not there"),
            hint: "`aks-jumpbox status` shows what was made".to_owned(),
        };
        let Some(at) = lower.find("/galleries/") else {
            let image = looked(id, version::COMPUTE)?.ok_or_else(missing)?;
            let gib = image["properties"]["storageProfile"]["osDisk"]["diskSizeGB"].as_u64();
            return Ok(Image { size: gib.map(|gib| gib << 30), trusted: false });
        };
        let definition = lower[at..].find("/versions/").map_or(id, |end| &id[..at + end]);
        let told = looked(definition, version::GALLERIES)?.ok_or_else(missing)?;
        let version = self.gallery_version(id, definition)?.ok_or_else(missing)?;
        let gib = version["properties"]["storageProfile"]["osDiskImage"]["sizeInGB"].as_u64();
        let features = told["properties"]["features"].as_array();
        let trusted = features.into_iter().flatten().any(|feature| {
            feature["name"] == "SecurityType"
                && feature["value"].as_str().is_some_and(|value| value.starts_with("TrustedLaunch"))
        });
        Ok(Image { size: gib.map(|gib| gib << 30), trusted })
    }

    /// A version, or the latest of a definition: versions are numbers with dots.
    fn gallery_version(&self, id: &str, definition: &str) -> Result<Option<Value>, Error> {
        if id.len() > definition.len() {
            return self.client.get(id, version::GALLERIES).to(|| format!("look at {id}"));
        }
        let all: Vec<Value> = self
            .client
            .list(&format!("{definition}/versions"), version::GALLERIES)
            .to(|| format!("look into {definition}"))?;
        let number = |one: &Value| -> Option<Vec<u64>> {
            one["name"].as_str()?.split('.').map(|part| part.parse().ok()).collect()
        };
        let counts =
            |one: &Value| one["properties"]["publishingProfile"]["excludeFromLatest"] != Value::Bool(true);
        Ok(all.into_iter().filter(counts).max_by_key(number))
    }
}

/// Which version of the interface removes a part of a trial.
pub(crate) fn version_of(id: &str) -> &'static str {
    if id.contains("/Microsoft.Network/") {
        version::NETWORK
    } else if id.contains("/disks/") {
        version::DISKS
    } else {
        version::COMPUTE
    }
}

/// A machine without a password and without a public address, whose disk and interface go with it.
fn machine_properties(spec: &TrialSpec, image: &Image, interface: &str, name: &str) -> Value {
    let TrialSpec { image: id, place, admin, public_key } = spec;
    let mut disk = json!({
        "name": name, "createOption": "FromImage", "deleteOption": "Delete",
        "managedDisk": { "storageAccountType": "StandardSSD_LRS" },
    });
    if let Some(size) = image.size {
        disk["diskSizeGB"] = ((size >> 30) + GROWTH).into();
    }
    let mut properties = json!({
        "hardwareProfile": { "vmSize": place.size },
        "storageProfile": { "imageReference": { "id": id }, "osDisk": disk },
        "osProfile": {
            "computerName": name, "adminUsername": admin,
            "linuxConfiguration": {
                "disablePasswordAuthentication": true,
                "ssh": { "publicKeys": [{
                    "path": format!("/home/{admin}/.ssh/authorized_keys"), "keyData": public_key,
                }] },
            },
        },
        "networkProfile": { "networkInterfaces": [
            { "id": interface, "properties": { "primary": true, "deleteOption": "Delete" } },
        ] },
    });
    if image.trusted {
        properties["securityProfile"] = json!({
            "securityType": "TrustedLaunch",
            "uefiSettings": { "secureBootEnabled": true, "vTpmEnabled": true },
        });
    }
    properties
}

impl Shell<'_, '_> {
    /// Runs a script as root; what it prints, of which Azure keeps the last 4,096 bytes.
    ///
    /// # Errors
    /// When Azure cannot be asked, the script cannot be run, or the work was stopped.
    pub fn run(&mut self, script: &str) -> Result<String, Error> {
        let lines: Vec<_> = script.lines().collect();
        let body = json!({ "commandId": "RunShellScript", "script": lines });
        let doing = || format!("run the tests in {}", self.machine);
        let path = format!("{}/runCommand", self.machine);
        self.workflow.check_stopped()?;
        let started = self.workflow.client.post::<_, Ran>(&path, version::COMPUTE, Some(&body)).to(doing)?;
        let ran = match started.result.or(started.operation) {
            Some(operation) => self.outcome(&operation)?,
            None => started.value,
        };
        let said = ran.unwrap_or_default().value.into_iter().next().unwrap_or_default();
        let succeeded = said.code.eq_ignore_ascii_case("ProvisioningState/succeeded");
        let printed = said.message.split_once("[stdout]\n").filter(|_| succeeded);
        let Some((_, printed)) = printed else {
            return Err(Error::Refused {
                what: format!("the script did not run in {}: {} {}", self.machine, said.code, said.message),
                hint: "does the image have the Azure VM agent?".to_owned(),
            });
        };
        let printed = printed.rsplit_once("\n[stderr]").map_or(printed, |(printed, _)| printed);
        Ok(printed.to_owned())
    }

    fn outcome(&self, operation: &Operation) -> Result<Option<Ran>, Error> {
        let Workflow { client, watch, .. } = self.workflow;
        let mut after = Duration::from_millis(operation.after_ms);
        loop {
            watch.wait(after);
            self.workflow.check_stopped()?;
            match client.outcome(operation).to(|| format!("run the tests in {}", self.machine))? {
                Outcome::Running { after: hint } => after = hint,
                Outcome::Ended(ran) => return Ok(ran),
            }
        }
    }
}
