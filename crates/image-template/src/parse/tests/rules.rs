//! The rules, one by one: what is written, and the complaints with their places.

use super::{DISTRIBUTE, SOURCE, complaints, with_properties};

/// Line 2 is the source and the target, line 3 what the case is about.
fn properties(version: &str, snippet: &str) -> Vec<String> {
    complaints(&with_properties(version, &format!("{SOURCE}, {DISTRIBUTE},\n{snippet}")))
}

fn step(snippet: &str) -> Vec<String> {
    properties("2025-10-01", &format!("\"customize\": [\n{snippet}]"))
}

fn target(snippet: &str) -> Vec<String> {
    complaints(&with_properties("2025-10-01", &format!("{SOURCE}, \"distribute\": [\n{snippet}]")))
}

const URI: &str = r#""scriptUri": "https://example.com/a.sh""#;
const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const VNET: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";
const GALLERY: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/a/images/b";

#[test]
fn scripts_are_either_inline_or_fetched() {
    let shell = |rest: &str| step(&format!("{{\"type\": \"Shell\", {rest}}}"));
    assert_eq!(shell(r#""inline": ["true"]"#), [""; 0]);
    assert_eq!(shell(r#""name": "n""#), ["4:1 error no-script properties.customize[0]"]);
    assert_eq!(
        shell(r#""inline": [], "scriptUri": """#),
        ["4:29 error empty-inline properties.customize[0].inline"]
    );
    assert_eq!(shell(r#""inline": "true""#), ["4:29 error wrong-type properties.customize[0].inline"]);
    assert_eq!(
        shell(r#""inline": ["true", 1]"#),
        ["4:38 error wrong-type properties.customize[0].inline[1]"]
    );
    assert_eq!(
        shell(&format!("\"inline\": [\"true\"], {URI}")),
        ["4:19 error script-and-inline properties.customize[0].inline"]
    );
    assert_eq!(
        shell(&format!("\"inline\": [\"true\"], \"sha256Checksum\": \"{SUM}\"")),
        ["4:57 error checksum-without-uri properties.customize[0].sha256Checksum"]
    );
}

#[test]
fn fetched_scripts_have_a_checksum() {
    let shell =
        |checksum: &str| step(&format!("{{\"type\": \"Shell\", {URI}, \"sha256Checksum\": \"{checksum}\"}}"));
    assert_eq!(shell(SUM), [""; 0]);
    assert_eq!(shell("<sha256>"), ["4:78 warning not-known properties.customize[0].sha256Checksum"]);
    for wrong in [&SUM[1..], &SUM.to_uppercase(), "z"] {
        assert_eq!(shell(wrong), ["4:78 error bad-value properties.customize[0].sha256Checksum"], "{wrong}");
    }
    assert_eq!(shell(""), ["4:32 warning no-checksum properties.customize[0].scriptUri"]);
    let uri = |uri: &str| {
        step(&format!("{{\"type\": \"Shell\", \"scriptUri\": \"{uri}\", \"sha256Checksum\": \"{SUM}\"}}"))
    };
    assert_eq!(uri("scripts/a.sh"), ["4:32 warning local-uri properties.customize[0].scriptUri"]);
    for wrong in ["ftp://example.com/a", "https:a", "https://", "a b.sh", "C:\\\\a.sh"] {
        assert_eq!(uri(wrong), ["4:32 error bad-value properties.customize[0].scriptUri"], "{wrong}");
    }
}

#[test]
fn files_go_below_tmp() {
    let file = |destination: &str| {
        step(&format!(
            "{{\"type\": \"File\", \"sourceUri\": \"https://example.com/a\", \"sha256Checksum\": \"{SUM}\",\n\"destination\": \"{destination}\"}}"
        ))
    };
    assert_eq!(file("/tmp/a/b.txt"), [""; 0]);
    assert_eq!(file("<destination>"), ["5:16 warning not-known properties.customize[0].destination"]);
    for wrong in ["/etc/motd", "/tmp", "/tmp/", "/tmp/a/", "/tmp/../etc/motd", "a.txt", "~/a"] {
        assert_eq!(
            file(wrong),
            ["5:16 error bad-destination properties.customize[0].destination"],
            "{wrong}"
        );
    }
    assert_eq!(file("C:\\\\Temp\\\\a.txt"), ["5:16 error wrong-os properties.customize[0].destination"]);
    assert_eq!(
        step("{\"type\": \"File\"}"),
        [
            "4:1 error missing-field properties.customize[0].sourceUri",
            "4:1 error missing-field properties.customize[0].destination"
        ]
    );
}

#[test]
fn windows_steps_do_not_run_on_linux_nor_the_reverse() {
    assert_eq!(step("{\"type\": \"WindowsRestart\"}"), ["4:10 error wrong-os properties.customize[0]"]);
    let gallery = |steps: &str| {
        let source = format!(
            "\"source\": {{\"type\": \"SharedImageVersion\", \"imageVersionId\": \"{GALLERY}/versions/1.0.0\"}}"
        );
        complaints(&with_properties(
            "2025-10-01",
            &format!("{source}, {DISTRIBUTE}, \"customize\": [\n{steps}]"),
        ))
    };
    assert_eq!(gallery("{\"type\": \"WindowsRestart\"}, {\"type\": \"WindowsUpdate\"}"), [""; 0]);
    assert_eq!(
        gallery("{\"type\": \"WindowsUpdate\"},\n{\"type\": \"Shell\", \"inline\": [\"true\"]}"),
        ["4:10 error wrong-os properties.customize[1]"]
    );
}

#[test]
fn power_shell_has_its_own_rules() {
    let windows = |rest: &str| {
        let source = SOURCE.replace("\"Debian\"", "\"MicrosoftWindowsServer\"");
        let script = format!("{{\"type\": \"PowerShell\", \"inline\": [\"dir\"], {rest}}}");
        complaints(&with_properties(
            "2025-10-01",
            &format!("{source}, {DISTRIBUTE}, \"customize\": [\n{script}]"),
        ))
    };
    assert_eq!(windows("\"runElevated\": true, \"runAsSystem\": true, \"validExitCodes\": [0, -1]"), [""; 0]);
    assert_eq!(
        windows("\"runAsSystem\": true"),
        ["3:58 error run-as-system properties.customize[0].runAsSystem"]
    );
    assert_eq!(
        windows("\"validExitCodes\": [1.5]"),
        ["3:62 error number-range properties.customize[0].validExitCodes[0]"]
    );
}

#[test]
fn discriminators_are_exact() {
    assert_eq!(
        step("{\"type\": \"shell\", \"inline\": [\"true\"]}"),
        ["4:10 error bad-value properties.customize[0].type"]
    );
    assert_eq!(step("{\"inline\": [\"true\"]}"), ["4:1 error missing-field properties.customize[0].type"]);
    assert_eq!(step("[]"), ["4:1 error wrong-type properties.customize[0]"]);
    assert_eq!(
        target("{\"type\": \"sharedImage\", \"runOutputName\": \"a\"}"),
        ["3:10 error bad-value properties.distribute[0].type"]
    );
    assert_eq!(
        properties("2025-10-01", "\"validate\": {\"inVMValidations\": [{\"type\": \"WindowsRestart\"}]}"),
        ["3:43 error bad-value properties.validate.inVMValidations[0].type"]
    );
}

#[test]
fn unknown_fields_are_errors_in_strict_versions_only() {
    let typo = "\"custmize\": [], \"VMProfile\": {\"osDiskSizeGB\": -1}";
    assert_eq!(
        properties("2024-02-01", typo),
        ["3:1 error unknown-field properties.custmize", "3:17 error wrong-case properties.VMProfile"]
    );
    assert_eq!(
        properties("2023-07-01", typo),
        [
            "3:1 warning unknown-field properties.custmize",
            "3:17 warning wrong-case properties.VMProfile",
            "3:47 error number-range properties.VMProfile.osDiskSizeGB",
        ]
    );
}

#[test]
fn fields_need_the_version_that_brought_them() {
    for (before, since, field, column) in [
        ("2021-10-01", "2022-02-14", "\"validate\": {}", 1),
        ("2021-10-01", "2022-02-14", "\"stagingResourceGroup\": \"/subscriptions/s/resourceGroups/g\"", 1),
        ("2022-02-14", "2022-07-01", "\"optimize\": {\"vmBoot\": {\"state\": \"Enabled\"}}", 1),
        ("2022-07-01", "2023-07-01", "\"errorHandling\": {\"onCustomizerError\": \"abort\"}", 1),
        ("2023-07-01", "2024-02-01", "\"autoRun\": {\"state\": \"Enabled\"}", 1),
        ("2023-07-01", "2024-02-01", "\"managedResourceTags\": {\"a\": \"b\"}", 1),
        ("2024-02-01", "2025-10-01", "\"additionalDataDisks\": [{\"sizeGB\": 4}]", 1),
        ("2024-02-01", "2025-10-01", "\"optimize\": {\"workload\": {\"state\": \"Enabled\"}}", 14),
        ("2020-02-14", "2021-10-01", "\"vmProfile\": {\"userAssignedIdentities\": []}", 15),
    ] {
        let complaints = properties(before, field);
        assert!(
            complaints[0].starts_with(&format!("3:{column} error needs-newer-api ")),
            "{field}: {complaints:?}"
        );
        assert_eq!(complaints.len(), 1, "{field}");
        assert_eq!(properties(since, field), [""; 0], "{field}");
    }
    let file = format!(
        "\"validate\": {{\"inVMValidations\": [{{\"type\": \"File\", \"sourceUri\": \"https://example.com/a\", \"sha256Checksum\": \"{SUM}\", \"destination\": \"/tmp/a\"}}]}}"
    );
    assert_eq!(
        properties("2022-02-14", &file),
        ["3:34 error needs-newer-api properties.validate.inVMValidations[0]"]
    );
    assert_eq!(properties("2022-07-01", &file), [""; 0]);
}

#[test]
fn timeouts_are_zero_or_six_to_960_minutes() {
    let timeout = |minutes: &str| properties("2025-10-01", &format!("\"buildTimeoutInMinutes\": {minutes}"));
    for right in ["0", "6", "960"] {
        assert_eq!(timeout(right), [""; 0]);
    }
    assert_eq!(timeout("5"), ["3:26 warning timeout-too-short properties.buildTimeoutInMinutes"]);
    for wrong in ["961", "-1", "6.5", "1e2", "99999999999999999999999"] {
        assert_eq!(timeout(wrong), ["3:26 error number-range properties.buildTimeoutInMinutes"], "{wrong}");
    }
    assert_eq!(timeout("\"60\""), ["3:26 error wrong-type properties.buildTimeoutInMinutes"]);
    assert_eq!(timeout("\"[parameters('t')]\""), ["3:26 warning not-known properties.buildTimeoutInMinutes"]);
}

#[test]
fn the_network_is_one_of_three_shapes() {
    let vnet =
        |inner: &str| properties("2025-10-01", &format!("\"vmProfile\": {{\"vnetConfig\": {{\n{inner}}}}}"));
    let subnet = format!("\"subnetId\": \"{VNET}/subnets/a\"");
    assert_eq!(vnet(&subnet), [""; 0]);
    assert_eq!(vnet(&format!("{subnet}, \"proxyVmSize\": \"Standard_A1_v2\"")), [""; 0]);
    assert_eq!(vnet(&format!("{subnet},\n\"containerInstanceSubnetId\": \"{VNET}/subnets/b\"")), [""; 0]);
    assert_eq!(
        vnet(&format!("\"containerInstanceSubnetId\": \"{VNET}/subnets/b\"")),
        ["4:30 error vnet-without-subnet properties.vmProfile.vnetConfig.containerInstanceSubnetId"]
    );
    let path = "properties.vmProfile.vnetConfig.containerInstanceSubnetId";
    for (other, code) in [("v/subnets/A", "same-subnet"), ("w/subnets/b", "other-vnet")] {
        let other = VNET.trim_end_matches('v').to_owned() + other;
        let found = vnet(&format!("{subnet},\n\"containerInstanceSubnetId\": \"{other}\""));
        assert_eq!(found, [format!("5:30 error {code} {path}")]);
    }
    assert_eq!(
        vnet(&format!(
            "{subnet},\n\"containerInstanceSubnetId\": \"{VNET}/subnets/b\",\n\"proxyVmSize\": \"S\""
        )),
        ["6:16 error proxy-with-container-subnet properties.vmProfile.vnetConfig.proxyVmSize"]
    );
    assert_eq!(
        vnet(&format!("\"subnetId\": \"{VNET}\"")),
        ["4:13 error bad-resource-id properties.vmProfile.vnetConfig.subnetId"]
    );
}

#[test]
fn targets_have_names_and_regions() {
    let vhd = "{\"type\": \"VHD\", \"runOutputName\": \"a\"}";
    assert_eq!(
        target(&format!("{vhd},\n{}", vhd.replace("\"a\"", "\"A\""))),
        ["4:34 error duplicate-run-output properties.distribute[1].runOutputName"]
    );
    assert_eq!(
        target("{\"type\": \"VHD\", \"runOutputName\": \"a b\"}"),
        ["3:34 error bad-value properties.distribute[0].runOutputName"]
    );
    assert_eq!(target(""), ["2:136 error empty-distribute properties.distribute"]);
    let shared = |rest: &str| {
        target(&format!(
            "{{\"type\": \"SharedImage\", \"runOutputName\": \"a\", \"galleryImageId\": \"{GALLERY}\",\n{rest}}}"
        ))
    };
    let path = "properties.distribute[0]";
    assert_eq!(
        shared(
            "\"targetRegions\": [{\"name\": \"East US\", \"replicaCount\": 2, \"storageAccountType\": \"Premium_LRS\"}]"
        ),
        [""; 0]
    );
    assert_eq!(
        shared("\"targetRegions\": [{\"name\": \"eastus\"}], \"replicationRegions\": [\"eastus\"]"),
        [format!("4:40 error two-region-lists {path}.replicationRegions")]
    );
    assert_eq!(
        shared("\"replicationRegions\": [\"eastus\", \"East US\"]"),
        [format!("4:34 error duplicate-region {path}.replicationRegions[1]")]
    );
    assert_eq!(
        shared("\"storageAccountType\": \"Standard_LRS\""),
        [format!("4:23 error storage-without-regions {path}.storageAccountType")]
    );
    assert_eq!(
        shared("\"versioning\": {\"scheme\": \"latest\"}"),
        [format!("4:26 error bad-value {path}.versioning.scheme")]
    );
    assert_eq!(
        shared("\"targetRegions\": [{\"name\": \"eastus\", \"replicaCount\": 0}]"),
        [format!("4:54 error number-range {path}.targetRegions[0].replicaCount")]
    );
}

#[test]
fn the_identity_is_exactly_one() {
    let with = |identity: &str| {
        complaints(&format!(
            "{{\"location\": \"westeurope\", {identity}\n\"properties\": {{{SOURCE}, {DISTRIBUTE}}}}}"
        ))
    };
    let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";
    assert_eq!(with(""), ["1:1 error missing-field identity"]);
    assert_eq!(
        with("\"identity\": {\"type\": \"None\"},"),
        ["1:40 error missing-field identity.userAssignedIdentities", "1:49 error bad-value identity.type",]
    );
    let ids = |ids: &str| {
        with(&format!(
            "\"identity\": {{\"type\": \"UserAssigned\", \"userAssignedIdentities\":\n{{{ids}}}}},"
        ))
    };
    assert_eq!(ids(&format!("\"{id}\": {{}}")), [""; 0]);
    assert_eq!(ids(""), ["2:1 error identity-count identity.userAssignedIdentities"]);
    assert_eq!(
        ids(&format!("\"{id}\": {{}}, \"{id}2\": {{}}")),
        ["2:1 error identity-count identity.userAssignedIdentities"]
    );
    assert_eq!(ids("\"me\": {}"), ["2:2 error bad-resource-id identity.userAssignedIdentities"]);
}

#[test]
fn sources_are_checked() {
    let source = |source: &str| {
        complaints(&with_properties("2022-02-14", &format!("\"source\":\n{{{source}}}, {DISTRIBUTE}")))
    };
    assert_eq!(
        source("\"type\": \"PlatformImage\", \"publisher\": \"Debian\", \"offer\": \"\""),
        [
            "3:1 error missing-field properties.source.sku",
            "3:1 error missing-field properties.source.version",
            "3:59 error bad-value properties.source.offer",
        ]
    );
    assert_eq!(
        source(
            "\"type\": \"PlatformImage\", \"publisher\": \"canonical\", \"offer\": \"UbuntuServer\", \"sku\": \"18_04-lts-gen2\", \"version\": \"latest\""
        ),
        ["3:62 warning retired-base properties.source"]
    );
    assert_eq!(
        source(&format!(
            "\"type\": \"SharedImageVersion\", \"imageVersionId\": \"{GALLERY}/versions/latest\""
        )),
        ["3:50 error needs-newer-api properties.source.imageVersionId"]
    );
    assert_eq!(
        source(&format!("\"type\": \"SharedImageVersion\", \"imageVersionId\": \"{GALLERY}\"")),
        ["3:50 error bad-resource-id properties.source.imageVersionId"]
    );
    assert_eq!(
        source("\"type\": \"ManagedImage\", \"imageId\": \"x\""),
        ["3:37 error bad-resource-id properties.source.imageId"]
    );
}

#[test]
fn mistakes_in_scripts_are_warned_of_even_beside_errors() {
    let found = step(
        "{\"type\": \"Shell\", \"inline\": [\n\"cat > /tmp/x <<EOF\",\n\"sudo reboot\",\n\"EOF\",\n\"curl -fsSL https://example.com/install.sh | sudo bash\",\n\"sudo apt-get install jq\"], \"nam\": \"x\"}",
    );
    assert_eq!(
        found,
        [
            "8:1 warning pipe-to-shell properties.customize[0].inline[3]",
            "9:1 warning package-manager-asks properties.customize[0].inline[4]",
            "9:29 error unknown-field properties.customize[0].nam",
        ]
    );
}

#[test]
fn the_location_should_be_one_of_the_services_regions() {
    let at = |location: &str| {
        complaints(
            &with_properties("2025-10-01", &format!("{SOURCE}, {DISTRIBUTE}"))
                .replace("westeurope", location),
        )
    };
    assert_eq!(at("West Europe"), [""; 0]);
    assert_eq!(at("spaincentral"), ["1:42 warning unlisted-region location"]);
}
