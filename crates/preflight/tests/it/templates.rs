//! The hub and spoke of the documentation, mutated where it is written: in its templates.

use arm::Environment;
use document::SourceText;
use network_policy::Endpoint;
use preflight::{Network, Os, Status, Subject, Topology};
use serde_json::{Value, json};

use crate::mutation::{Said, refusal, said, survey};

const ENVIRONMENT: &str = include_str!("../../../../docs/examples/hub-and-spoke/environment.toml");
const HUB: &str = include_str!("../../../../docs/examples/hub-and-spoke/hub.json");
const HUB_PARAMETERS: &str = include_str!("../../../../docs/examples/hub-and-spoke/hub.parameters.json");
const SPOKE: &str = include_str!("../../../../docs/examples/hub-and-spoke/spoke.json");
const IMAGE_BUILDER: &str = include_str!("../../../../docs/examples/hub-and-spoke/image-builder.json");

const SUBSCRIPTION: &str = "/subscriptions/11111111-2222-3333-4444-555555555555";

/// The example's files, one of them in the place of its original.
struct Files(Vec<(&'static str, String)>);

impl Files {
    fn with(name: &str, text: &str) -> Self {
        let all = [
            ("hub.json", HUB),
            ("hub.parameters.json", HUB_PARAMETERS),
            ("spoke.json", SPOKE),
            ("image-builder.json", IMAGE_BUILDER),
        ];
        Self(all.map(|(own, original)| (own, if own == name { text } else { original }.to_owned())).into())
    }

    /// What a check says of each requirement.
    fn said(&self) -> Said {
        let mut environment = Environment::read(SourceText::new("environment.toml", ENVIRONMENT));
        let text = |path: &str| self.0.iter().find(|(name, _)| *name == path).map(|(_, text)| text.as_str());
        let inventory = environment
            .open(|path| text(path).map(|text| SourceText::new(path, text)).ok_or_else(|| path.to_owned()))
            .expect("the files are there");
        refusal(inventory.findings()).map_or(Ok(()), Err)?;
        let build = network_policy::read(&environment, &inventory)
            .map_err(|found| refusal(&found).unwrap_or_else(|| "no network".to_owned()))?;
        let source = SourceText::new("image.json", image().to_string());
        let template = image_template::parse(&source).template.expect("an image template");
        let subject = Subject {
            topology: Topology::PrivateLink,
            os: Os::of(&template),
            network: Some(Network::new(&environment, &inventory, Some(build), None)),
            template: Some(&template),
            endpoints: ["packages.microsoft.com:443", "dl.k8s.io:443", "archive.ubuntu.com:80"]
                .map(|text| Endpoint::parse(text).expect("an endpoint"))
                .into(),
            deployer: None,
        };
        Ok(said(&preflight::check(&subject)))
    }
}

fn image() -> Value {
    let identity = format!(
        "{SUBSCRIPTION}/resourceGroups/rg-images/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi-imagebuilder-i3yyqcsd5acng"
    );
    let subnet = format!(
        "{SUBSCRIPTION}/resourceGroups/rg-spoke/providers/Microsoft.Network/virtualNetworks/vnet-spoke-eastus2/subnets/snet-imagebuilder"
    );
    json!({
        "type": "Microsoft.VirtualMachineImages/imageTemplates", "apiVersion": "2024-02-01", "location": "eastus2",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}},
        "properties": {
            "source": {"type": "PlatformImage", "publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"},
            "customize": [{"type": "Shell", "name": "nothing", "inline": ["true"]}],
            "distribute": [{"type": "VHD", "runOutputName": "out"}],
            "vmProfile": {"vnetConfig": {"subnetId": subnet}},
        }
    })
}

fn json_of(text: &str) -> Value {
    let document = document::parse_json(&SourceText::new("example.json", text));
    let value = document.value.expect("JSON with comments");
    serde_json::from_str(&value.to_json_pretty()).expect("JSON")
}

#[test]
fn what_matters_in_the_templates_of_a_hub_and_a_spoke_is_noticed() {
    let good = Files::with("", "").said().expect("an answer");
    let open: Vec<_> =
        good.iter().filter(|(_, status)| !matches!(status, Status::Pass | Status::Skipped)).collect();
    assert_eq!(open, [&("template.topology", Status::Warn), &("diagnostics.flow-logs", Status::Warn)]);
    for (name, text) in [
        ("hub.json", HUB),
        ("hub.parameters.json", HUB_PARAMETERS),
        ("spoke.json", SPOKE),
        ("image-builder.json", IMAGE_BUILDER),
    ] {
        let found = survey(&json_of(text), |mutated| Files::with(name, &mutated.to_string()).said());
        insta::assert_snapshot!(name.replace('.', "-"), found);
    }
}
