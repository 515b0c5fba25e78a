//! An endpoint with a network to build in, and a place for states.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure::{Client, Cloud, Login, Secret, Wire};
use build_engine::network::Outbound;
use document::SourceText;
use local_azure::{LocalAzure, Options};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tempfile::TempDir;
use workflow::{Audit, Becomes, Design, Error, Event, Settings, State, Watch, Workflow};

use crate::wire::{Fault, Faulty, ORIGIN};

const NETWORK_VERSION: &str = "2024-05-01";

/// The endpoint, and who asks it.
pub struct World {
    pub folder: TempDir,
    pub wire: Arc<Faulty>,
    pub subscription: String,
    pub secret: String,
    login: Login,
    states: usize,
    _local: Arc<LocalAzure>,
}

/// Hears what is told, and lets no time pass.
#[derive(Default)]
pub struct Listener {
    pub heard: Mutex<Vec<Event>>,
    pub waited: Mutex<Vec<Duration>>,
    stopped: AtomicBool,
}

impl Listener {
    /// From now on, the user wants the work to end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

impl Watch for Listener {
    fn tell(&self, event: &Event) {
        self.heard.lock().expect("heard").push(event.clone());
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn wait(&self, time: Duration) {
        self.waited.lock().expect("waited").push(time);
        // Minutes pass here at once; what goes on in the endpoint takes milliseconds.
        std::thread::park_timeout(Duration::from_millis(2));
    }

    fn wait_out(&self, time: Duration) {
        self.wait(time);
    }
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

impl World {
    pub fn new() -> Self {
        // Thousands of journeys write tens of thousands of files through to the disk; in memory that is nothing.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder");
        let options = Options {
            state: folder.path().join("azure"),
            cache: folder.path().join("cache"),
            outbound: Outbound::default(),
            subscription: None,
            azurite: None,
        };
        let local = LocalAzure::open(options, Box::new(|_| {})).expect("opened");
        let secrets = local.secrets();
        let login = Login::Secret {
            tenant: secrets.tenant.clone(),
            client_id: secrets.client_id.clone(),
            client_secret: Secret::new(secrets.client_secret.clone()),
        };
        let (subscription, secret) = (secrets.subscription.clone(), secrets.client_secret.clone());
        let wire = Arc::new(Faulty::new(Arc::clone(&local)));
        let world = Self { folder, wire, subscription, secret, login, states: 0, _local: local };
        world.make_network();
        world
    }

    /// A client that lets no time pass.
    pub fn client(&self) -> Client {
        let wire: Arc<dyn Wire> = Arc::clone(&self.wire) as _;
        let cloud = Cloud::discover(ORIGIN, wire.as_ref()).expect("found");
        Client::with_pause(cloud, &self.login, wire, Box::new(|_| {})).expect("a client")
    }

    /// Two subnets whose rules keep the build machine out of reach, so that a run ends before it builds.
    fn make_network(&self) {
        let client = self.client();
        let group = format!("/subscriptions/{}/resourceGroups/rg-net", self.subscription);
        let provider = format!("/subscriptions/{}/providers/Microsoft.Network/register", self.subscription);
        client.post::<(), IgnoredAny>(&provider, NETWORK_VERSION, None).expect("registered");
        put(&client, &group, &json!({ "location": "eastus2" }));
        let deny = json!({ "name": "deny", "properties": {
            "priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "*", "sourceAddressPrefix": "*",
            "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*",
        }});
        let nsg = format!("{group}/providers/Microsoft.Network/networkSecurityGroups/nsg");
        put(&client, &nsg, &json!({ "location": "eastus2", "properties": { "securityRules": [deny] } }));
        let container = json!({ "name": "containers", "properties": { "addressPrefix": "10.1.1.0/24", "delegations": [
            { "name": "d", "properties": { "serviceName": "Microsoft.ContainerInstance/containerGroups" } },
        ]}});
        let build = json!({ "name": "build", "properties": {
            "addressPrefix": "10.1.0.0/24", "networkSecurityGroup": { "id": nsg },
            "privateLinkServiceNetworkPolicies": "Disabled",
        }});
        let network = format!("{group}/providers/Microsoft.Network/virtualNetworks/vnet");
        put(
            &client,
            &network,
            &json!({ "location": "eastus2", "properties": {
                "addressSpace": { "addressPrefixes": ["10.1.0.0/16"] }, "subnets": [build, container],
            }}),
        );
    }

    /// What is to be made, in both subnets or in one.
    pub fn design(&self, isolated: bool) -> Design {
        self.design_of(isolated, &template())
    }

    /// The same of another template.
    pub fn design_of(&self, isolated: bool, template: &image_template::ImageTemplate) -> Design {
        let network = format!(
            "/subscriptions/{}/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/vnet",
            self.subscription
        );
        let settings = Settings {
            subscription: Some(self.subscription.clone()),
            location: Some("eastus2".to_owned()),
            resource_group: Some("rg-ib".to_owned()),
            build_subnet: Some(format!("{network}/subnets/build")),
            container_subnet: isolated.then(|| format!("{network}/subnets/containers")),
            becomes: Some(if isolated { Becomes::GalleryVersion } else { Becomes::ManagedImage }),
            ..Settings::default()
        };
        Design::new(&settings, template, false).expect("whole")
    }

    /// A state of its own for each journey.
    pub fn new_state(&mut self) -> PathBuf {
        self.states += 1;
        self.folder.path().join(format!("{}.json", self.states))
    }

    /// Works on a state with a client of its own, as a process does. A killed process leaves nothing but its files.
    pub fn process<T>(
        &self,
        state: &Path,
        listener: &Listener,
        work: impl FnOnce(&mut Workflow<'_>) -> Result<T, Error>,
    ) -> Result<Result<T, Error>, ()> {
        let client = self.client();
        let subscription = format!("/subscriptions/{}", self.subscription);
        let work = || {
            let own = State::open(state, ORIGIN, &subscription)?;
            let who = client.who().expect("somebody");
            let audit = Audit::open(&state.with_extension("audit.jsonl"), who)?;
            work(&mut Workflow::new(&client, own, audit, listener))
        };
        catch_unwind(AssertUnwindSafe(work)).map_err(|_| ())
    }

    /// Everything that the endpoint has, without what differs from run to run.
    pub fn inventory(&self) -> BTreeSet<String> {
        let client = self.client();
        let subscription = format!("/subscriptions/{}", self.subscription);
        let mut all = BTreeSet::new();
        for path in [
            format!("{subscription}/resources"),
            format!("{subscription}/resourceGroups"),
            format!("{subscription}/providers/Microsoft.Authorization/roleAssignments"),
            format!(
                "{subscription}/resourceGroups/rg-net/providers/Microsoft.Authorization/roleDefinitions?$filter=type%20eq%20'CustomRole'"
            ),
            format!(
                "{subscription}/resourceGroups/rg-ib/providers/Microsoft.Authorization/roleDefinitions?$filter=type%20eq%20'CustomRole'"
            ),
        ] {
            let listed: Vec<Listed> = client.list(&path, "2022-04-01").expect("listed");
            all.extend(listed.into_iter().map(|one| one.id.to_lowercase()).filter(|id| !id.contains("/it_")));
        }
        all
    }

    /// Whether the endpoint has something.
    pub fn has(&self, id: &str) -> bool {
        self.client().get::<IgnoredAny>(id, "2025-10-01").expect("an answer").is_some()
    }

    pub fn arm(&self, at: usize, fault: Fault) {
        self.wire.arm(at, fault);
    }
}

pub fn template() -> image_template::ImageTemplate {
    let text = json!({
        "type": "Microsoft.VirtualMachineImages/imageTemplates", "apiVersion": "2025-10-01", "name": "jb",
        "location": "<location>",
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { "<identity>": {} } },
        "properties": {
            "source": { "type": "PlatformImage", "publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest" },
            "customize": [{ "type": "Shell", "name": "greet", "inline": ["[ -d /etc ]", "[[ x ]] && true", "echo '"] }],
            "distribute": [{ "type": "VHD", "runOutputName": "disk" }],
        },
    });
    let parsed = image_template::parse(&SourceText::new("template.json", text.to_string()));
    parsed.template.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics))
}

pub fn put(client: &Client, path: &str, body: &Value) {
    client.put::<_, IgnoredAny>(path, NETWORK_VERSION, body).expect("made");
}
