//! The shapes of file that hold a template.

use super::{DISTRIBUTE, IDENTITY, SOURCE, complaints, read};
use crate::{ApiVersion, Customizer, Distribute, Regions, Script, Source, Unknown};

/// In the style of published samples: comments, placeholders, `type` and `apiVersion` inside.
const SAMPLE: &str = r#"{
    "type": "Microsoft.VirtualMachineImages/imageTemplates",
    "apiVersion": "2022-02-14",
    "location": "<region1>",
    "dependsOn": [],
    "tags": {"imagebuilderTemplate": "ubuntu1804", "userIdentity": "enabled"},
    "identity": {
        "type": "UserAssigned",
        "userAssignedIdentities": {"<imgBuilderId>": {}}
    },
    "properties": {
        "buildTimeoutInMinutes": 100,
        "vmProfile": {"vmSize": "Standard_D1_v2", "osDiskSizeGB": 30},
        "source": {
            "type": "PlatformImage",
            "publisher": "Canonical",
            "offer": "0001-com-ubuntu-server-jammy",
            "sku": "22_04-lts-gen2",
            "version": "latest"
        },
        "customize": [
            {"type": "Shell", "name": "setup", "scriptUri": "https://example.com/setup.sh"},
            /* files go to /tmp */
            {"type": "File", "name": "index", "sourceUri": "https://example.com/index.html", "destination": "/tmp/index.html"},
            {"type": "Shell", "name": "place", "inline": ["sudo mkdir /site", "sudo cp /tmp/index.html /site/ # done"]}
        ],
        "distribute": [{
            "type": "SharedImage",
            "galleryImageId": "/subscriptions/<subscriptionID>/resourceGroups/<rgName>/providers/Microsoft.Compute/galleries/<gallery>/images/<definition>",
            "runOutputName": "<runOutputName>",
            "artifactTags": {"source": "azureVmImageBuilder"},
            "replicationRegions": ["<region1>", "<region2>"]
        }]
    }
}"#;

#[test]
fn a_published_sample_is_read_with_warnings() {
    let parsed = read(SAMPLE);
    let codes: Vec<_> = parsed.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    assert!(!parsed.has_errors(), "{:#?}", parsed.diagnostics);
    assert_eq!(codes.iter().filter(|code| **code == "no-checksum").count(), 2);
    assert_eq!(codes.iter().filter(|code| **code == "not-known").count(), 6);
    let template = parsed.template.expect("no errors");
    assert_eq!(template.api_version, ApiVersion::V2022_02_14);
    assert_eq!(template.location.unknown(), Some(Unknown::Placeholder));
    assert_eq!(template.build_timeout_minutes, 100);
    assert_eq!(
        template.customize.iter().filter_map(Customizer::name).collect::<Vec<_>>(),
        ["setup", "index", "place"]
    );
    let Source::PlatformImage { publisher, .. } = &template.source else { panic!("another source") };
    assert_eq!(publisher.known(), Some("Canonical"));
    let [Distribute::SharedImage(image)] = template.distribute.as_slice() else { panic!("another target") };
    assert!(matches!(&image.regions, Regions::Replication { names, .. } if names.len() == 2));
}

fn resource(kind: &str, extra: &str) -> String {
    format!(
        "{{\"type\": \"{kind}\", \"apiVersion\": \"2024-02-01\", \"name\": \"box\", \"location\": \"[resourceGroup().location]\", {IDENTITY},\n\"properties\": {{{SOURCE}, {DISTRIBUTE}{extra}}}}}"
    )
}

const TYPE: &str = "Microsoft.VirtualMachineImages/imageTemplates";

#[test]
fn an_arm_template_may_hold_the_resource_in_either_form() {
    let vm = "{\"type\": \"Microsoft.Compute/virtualMachines\"}";
    let inline = ", \"customize\": [{\"type\": \"Shell\", \"inline\": [\"[[ -f /etc/passwd ]\", \"[[x\"]}]";
    for resources in [
        format!("[{vm}, {}]", resource(TYPE, inline)),
        format!("{{\"vm\": {vm}, \"template\": {}}}", resource(&TYPE.to_lowercase(), inline)),
    ] {
        let parsed =
            read(&format!("{{\"$schema\": \"x\", \"parameters\": {{}}, \"resources\": {resources}}}"));
        assert_eq!(parsed.diagnostics.iter().map(|found| found.code).collect::<Vec<_>>(), ["not-known"]);
        let template = parsed.template.expect("no errors");
        assert_eq!(template.location.unknown(), Some(Unknown::Expression));
        let Customizer::Shell(step) = &template.customize[0] else { panic!("another step") };
        let lines = ["[ -f /etc/passwd ]", "[[x"].map(str::to_owned).to_vec();
        assert_eq!(step.script, Script::Inline(lines));
    }
}

#[test]
fn an_arm_template_without_one_literal_resource_is_refused() {
    let with = |resources: &str| complaints(&format!("{{\"resources\": {resources}}}"));
    assert_eq!(with("[]"), ["1:2 error no-image-template resources"]);
    assert_eq!(
        with("[{\"type\": \"Microsoft.Compute/disks\"}, 1, null]"),
        ["1:2 error no-image-template resources"]
    );
    let two = format!("[{}, {}]", resource(TYPE, ""), resource(TYPE, ""));
    assert_eq!(with(&two), ["1:2 error several-image-templates resources"]);
    assert_eq!(
        with("\"[variables('r')]\""),
        ["1:15 error not-literal resources", "1:2 error no-image-template resources"][..1]
    );
    assert_eq!(complaints("{\"$schema\": \"x\"}"), ["1:1 error no-image-template resources"]);
    let expression = resource(TYPE, ", \"customize\": \"[variables('steps')]\"");
    assert_eq!(
        with(&format!("[{expression}]")).last().map(String::as_str),
        Some("2:207 error not-literal resources[0].properties.customize")
    );
}

#[test]
fn another_resource_is_not_a_template() {
    assert_eq!(complaints("{\"type\": \"Microsoft.Compute/disks\"}"), ["1:10 error no-image-template type"]);
    assert_eq!(complaints("[]"), ["1:1 error wrong-type "]);
    assert_eq!(
        complaints("{}"),
        [
            "1:1 error missing-field location",
            "1:1 error missing-field identity",
            "1:1 error missing-field properties",
        ]
    );
}

#[test]
fn previews_are_read_as_far_as_they_go() {
    let text = format!(
        "{{\"apiVersion\": \"2019-02-01-preview\", \"location\": \"westus\", \"properties\": {{{SOURCE}, \"customize\": [{{\"type\": \"Shell\", \"script\": \"https://example.com/a.sh\"}}], \"distribute\": [{{\"type\": \"VHD\", \"runOutputName\": \"a\", \"tags\": {{\"a\": \"b\"}}}}]}}}}"
    );
    let parsed = read(&text);
    let codes: Vec<_> = parsed.diagnostics.iter().map(|found| found.code).collect();
    assert_eq!(codes, ["preview-api-version", "no-checksum"]);
    let template = parsed.template.expect("no errors");
    assert_eq!(template.identity, None);
    assert!(
        matches!(&template.distribute[0], Distribute::Vhd { artifact_tags, .. } if artifact_tags.len() == 1)
    );
}

#[test]
fn an_unknown_version_is_refused_and_read_as_the_newest() {
    let text = resource(TYPE, ", \"additionalDataDisks\": []").replace("2024-02-01", "2024-02-31");
    assert_eq!(
        complaints(&text),
        ["1:73 error unknown-api-version apiVersion", "1:114 warning not-known location",]
    );
}
