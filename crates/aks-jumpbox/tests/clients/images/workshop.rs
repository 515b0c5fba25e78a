//! Image templates by requests alone, where no client's own behaviour is in question: a story that needs no installed
//! client, with a network that is open and an identity.

use std::cell::Cell;

use serde_json::{Value, json};

use super::can_build;
use crate::rest::{Answer, Rest};
use crate::story::{Story, story};

/// The version of the templates' interface.
const VERSION: &str = "api-version=2024-02-01";

/// Storage Blob Data Reader.
pub const READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";

/// Storage Blob Data Contributor.
pub const WRITER: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";

/// A resource group `rg` with an identity `builder`, which has no role yet.
pub struct Workshop<'a> {
    pub story: &'a Story,
    pub rest: Rest<'a>,
    /// The identity's object id.
    pub object: String,
    assigned: Cell<u32>,
}

/// Tells a story of builds, where this machine can build.
pub fn workshop(tell: impl FnOnce(&Workshop<'_>)) {
    if !can_build() {
        return;
    }
    story(|story| {
        let rest = story.rest();
        rest.group("rg");
        for provider in ["VirtualMachineImages", "Compute", "Storage", "ManagedIdentity"] {
            let path = rest.url(&format!("/providers/Microsoft.{provider}/register"));
            assert_eq!(rest.send("POST", &path, &[], &[]).status, 200);
        }
        let path = "/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder";
        let identity = rest.put(path, &json!({ "location": "eastus2" })).json();
        let object = identity["properties"]["principalId"].as_str().expect("an object id").to_owned();
        tell(&Workshop { story, rest, object, assigned: Cell::default() });
    });
}

impl Workshop<'_> {
    /// The id of something in the group.
    pub fn id(&self, rest: &str) -> String {
        format!("{}/resourceGroups/rg/providers/{rest}", self.story.subscription())
    }

    /// Gives the identity a role, by the role's GUID, at an id.
    pub fn assign(&self, role: &str, scope: &str) {
        let role =
            format!("{}/providers/Microsoft.Authorization/roleDefinitions/{role}", self.story.subscription());
        self.assigned.set(self.assigned.get() + 1);
        let name = format!("00000000-0000-4000-8000-{:012}", self.assigned.get());
        let path = format!(
            "{scope}/providers/Microsoft.Authorization/roleAssignments/{name}?api-version=2022-04-01"
        );
        let body = json!({ "properties": {
            "roleDefinitionId": role, "principalId": self.object, "principalType": "ServicePrincipal",
        } });
        let answer = self.rest.send("PUT", &path, &[], body.to_string().as_bytes());
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// A blob of an account of the group, which is made where it is missing; its address.
    pub fn blob(&self, account: &str, container: &str, name: &str, text: &str) -> String {
        let path = format!("/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/{account}");
        self.rest.put(&path, &json!({ "location": "eastus2" }));
        let file = self.story.path(&format!("state/blobs/{account}/{container}/{name}"));
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        std::fs::write(file, text).expect("written");
        format!("{}/{account}/{container}/{name}", self.story.serve.told("endpoint"))
    }

    fn path(&self, name: &str, action: &str) -> String {
        self.id(&format!("Microsoft.VirtualMachineImages/imageTemplates/{name}{action}?{VERSION}"))
    }

    /// Asks for a template, `properties` beside a Debian source and a VHD as target.
    pub fn ask(&self, name: &str, properties: &Value) -> Answer {
        let mut all = json!({
            "source": { "type": "PlatformImage", "publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest" },
            "distribute": [{ "type": "VHD", "runOutputName": "disk" }],
        });
        for (field, value) in properties.as_object().expect("an object") {
            all[field] = value.clone();
        }
        let identity = self.id("Microsoft.ManagedIdentity/userAssignedIdentities/builder");
        let body = json!({
            "location": "eastus2", "properties": all,
            "identity": { "type": "UserAssigned", "userAssignedIdentities": { identity: {} } },
        });
        self.rest.send("PUT", &self.path(name, ""), &[], body.to_string().as_bytes())
    }

    /// A template as it is.
    pub fn template(&self, name: &str) -> Value {
        self.rest.send("GET", &self.path(name, ""), &[], &[]).json()["properties"].clone()
    }

    /// Makes a template and waits until the service has set it up, or not.
    pub fn make(&self, name: &str, properties: &Value) -> Value {
        let answer = self.ask(name, properties);
        assert_eq!(answer.status, 201, "{answer:?}");
        self.until(name, |template| template["provisioningState"] != "Creating")
    }

    /// Asks for a run and waits for its end; its status.
    pub fn run(&self, name: &str) -> Value {
        self.begin(name);
        self.ended(name)
    }

    /// Asks for a run.
    pub fn begin(&self, name: &str) {
        let answer = self.rest.send("POST", &self.path(name, "/run"), &[], &[]);
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// Waits for the end of a run; its status.
    pub fn ended(&self, name: &str) -> Value {
        let over = |template: &Value| {
            let state = template["lastRunStatus"]["runState"].as_str().unwrap_or_default();
            !matches!(state, "" | "Running" | "Canceling")
        };
        self.until(name, over)["lastRunStatus"].clone()
    }

    fn until(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let template = self.template(name);
            if is_so(&template) {
                return template;
            }
            // Leaves the processors to the build.
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
    }

    /// What a template's last run made: its rows by name.
    pub fn outputs(&self, name: &str) -> Value {
        self.rest.send("GET", &self.path(name, "/runOutputs"), &[], &[]).json()["value"].clone()
    }

    /// Deletes a template.
    pub fn delete(&self, name: &str) {
        let answer = self.rest.send("DELETE", &self.path(name, ""), &[], &[]);
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// A step that no earlier run has made, so that it runs.
    pub fn fresh(&self, line: &str) -> Value {
        let own = format!("# {}", self.story.path("").display());
        json!({ "type": "Shell", "inline": [own, line] })
    }
}

/// A file of this name somewhere below a folder.
pub fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            if entry.file_name() == name {
                return Some(entry.path());
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    None
}
