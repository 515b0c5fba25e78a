//! What is written is what is read.

use document::SourceText;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use crate::{
    ApiVersion, AutoRun, Customizer, DataDisk, Distribute, ErrorHandling, FileStep, Identity, ImageTemplate,
    OnError, Optimize, PlanInfo, PowerShellStep, Regions, ReplicationMode, Script, SharedImage, ShellStep,
    Source, StorageAccountType, Tags, TargetRegion, Text, Validate, Validator, Versioning, VmProfile,
    VnetConfig, Workload, parse,
};

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,7}"
}

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        word().prop_map(Text::from),
        Just(Text::from("<placeholder>")),
        Just(Text::from("[variables('x')]"))
    ]
}

fn id(kind: &'static str) -> impl Strategy<Value = Text> {
    word().prop_map(move |name| format!("/subscriptions/s/resourceGroups/g/providers/{kind}/{name}").into())
}

fn tags() -> impl Strategy<Value = Tags> {
    btree_map("\\PC{0,6}", "\\PC{1,6}".prop_map(Text::from), 0..3)
}

fn script() -> impl Strategy<Value = Script> {
    let uri = prop_oneof![Just("https://example.com/a"), Just("a/b.sh"), Just("<uri>")].prop_map(Text::from);
    prop_oneof![
        vec("[\\PC\n\t\"\\\\]{0,20}", 1..4).prop_map(Script::Inline),
        (uri, of("[0-9a-f]{64}".prop_map(Text::from))).prop_map(|(uri, sha256)| Script::Uri { uri, sha256 }),
    ]
}

fn shell() -> impl Strategy<Value = ShellStep> {
    (of("\\PC{0,9}"), script()).prop_map(|(name, script)| ShellStep { name, script })
}

fn power_shell() -> impl Strategy<Value = PowerShellStep> {
    (of(word()), script(), any::<bool>(), any::<bool>(), vec(any::<i32>(), 0..3)).prop_map(
        |(name, script, run_elevated, system, valid_exit_codes)| PowerShellStep {
            name,
            script,
            run_elevated,
            run_as_system: system && run_elevated,
            valid_exit_codes,
        },
    )
}

fn file(folder: &'static str) -> impl Strategy<Value = FileStep> {
    (of(word()), word(), of("[0-9a-f]{64}".prop_map(Text::from))).prop_map(move |(name, file, sha256)| {
        FileStep {
            name,
            source_uri: "https://example.com/a".into(),
            sha256,
            destination: format!("{folder}{file}").into(),
        }
    })
}

fn linux() -> impl Strategy<Value = (Vec<Customizer>, Vec<Validator>)> {
    let step = prop_oneof![shell().prop_map(Customizer::Shell), file("/tmp/").prop_map(Customizer::File)];
    let check = prop_oneof![shell().prop_map(Validator::Shell), file("/tmp/").prop_map(Validator::File)];
    (vec(step, 0..4), vec(check, 0..3))
}

fn windows() -> impl Strategy<Value = (Vec<Customizer>, Vec<Validator>)> {
    let restart =
        (of(word()), of(word()), of("[0-9]{1,3}[hms]")).prop_map(|(name, command, restart_timeout)| {
            Customizer::WindowsRestart {
                name,
                restart_command: command,
                restart_check_command: None,
                restart_timeout,
            }
        });
    let update =
        (of(word()), vec(word(), 0..3), 0..2000_u32).prop_map(|(search_criteria, filters, update_limit)| {
            Customizer::WindowsUpdate { name: None, search_criteria, filters, update_limit }
        });
    let step = prop_oneof![
        power_shell().prop_map(Customizer::PowerShell),
        file("C:\\Temp\\").prop_map(Customizer::File),
        restart,
        update
    ];
    (vec(step, 0..4), vec(power_shell().prop_map(Validator::PowerShell), 0..3))
}

fn source() -> impl Strategy<Value = Source> {
    let plan =
        [text(), text(), text()].prop_map(|[name, product, publisher]| PlanInfo { name, product, publisher });
    prop_oneof![
        (text(), text(), text(), text(), of(plan)).prop_map(|(publisher, offer, sku, version, plan_info)| {
            Source::PlatformImage { publisher, offer, sku, version, plan_info }
        }),
        id("Microsoft.Compute/images").prop_map(|image_id| Source::ManagedImage { image_id }),
        Just(Source::SharedImageVersion {
            image_version_id:
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/a/images/b/versions/latest".into()
        }),
    ]
}

fn storage() -> impl Strategy<Value = Option<StorageAccountType>> {
    of(prop_oneof![
        Just(StorageAccountType::StandardLrs),
        Just(StorageAccountType::StandardZrs),
        Just(StorageAccountType::PremiumLrs)
    ])
}

fn regions() -> impl Strategy<Value = Regions> {
    let target = (word(), 1..9_u32, storage()).prop_map(|(name, replica_count, storage)| {
        vec![TargetRegion { name: name.into(), replica_count, storage }]
    });
    prop_oneof![
        Just(Regions::Unspecified),
        target.prop_map(Regions::Target),
        (text(), storage()).prop_map(|(name, storage)| Regions::Replication { names: vec![name], storage }),
    ]
}

fn shared_image() -> impl Strategy<Value = SharedImage> {
    let versioning =
        prop_oneof![of(0..9_u32).prop_map(|major| Versioning::Latest { major }), Just(Versioning::Source)];
    let mode = prop_oneof![Just(ReplicationMode::Full), Just(ReplicationMode::Shallow)];
    let image = id("Microsoft.Compute/galleries/a/images");
    (tags(), image, regions(), any::<bool>(), of(versioning), mode).prop_map(
        |(artifact_tags, gallery_image_id, regions, exclude_from_latest, versioning, replication_mode)| {
            SharedImage {
                run_output_name: "shared".into(),
                artifact_tags,
                gallery_image_id,
                regions,
                exclude_from_latest,
                versioning,
                replication_mode,
            }
        },
    )
}

fn distribute() -> impl Strategy<Value = Vec<Distribute>> {
    let vhd = (tags(), any::<bool>()).prop_map(|(artifact_tags, uri)| Distribute::Vhd {
        run_output_name: "vhd".into(),
        artifact_tags,
        uri: uri.then(|| "https://example.com/a.vhd".into()),
    });
    let managed =
        (id("Microsoft.Compute/images"), text()).prop_map(|(image_id, location)| Distribute::ManagedImage {
            run_output_name: "managed".into(),
            artifact_tags: Tags::new(),
            image_id,
            location,
        });
    let shared = shared_image().prop_map(Distribute::SharedImage);
    (vhd, of(managed), of(shared))
        .prop_map(|(vhd, managed, shared)| [Some(vhd), managed, shared].into_iter().flatten().collect())
}

fn vm_profile() -> impl Strategy<Value = VmProfile> {
    let subnets = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/";
    let vnet = (any::<bool>(), of(word())).prop_map(move |(isolated, proxy)| VnetConfig {
        subnet_id: format!("{subnets}build").into(),
        container_instance_subnet_id: isolated.then(|| format!("{subnets}container").into()),
        proxy_vm_size: proxy.filter(|_| !isolated).map(Text::from),
    });
    let identities = vec(id("Microsoft.ManagedIdentity/userAssignedIdentities"), 0..3);
    (of(text()), 0..=4095_u32, identities, of(vnet)).prop_map(
        |(vm_size, os_disk_size_gb, user_assigned_identities, vnet_config)| VmProfile {
            vm_size,
            os_disk_size_gb,
            user_assigned_identities,
            vnet_config,
        },
    )
}

fn optimize() -> impl Strategy<Value = Optimize> {
    let workload = (any::<bool>(), of("[0-9a-f]{64}".prop_map(Text::from))).prop_map(|(enabled, sha256)| {
        Workload { enabled, script_uri: sha256.is_some().then(|| "https://example.com/w.sh".into()), sha256 }
    });
    (any::<bool>(), of(workload)).prop_map(|(vm_boot, workload)| Optimize { vm_boot, workload })
}

fn on_error() -> impl Strategy<Value = OnError> {
    any::<bool>().prop_map(|abort| if abort { OnError::Abort } else { OnError::Cleanup })
}

fn template() -> impl Strategy<Value = ImageTemplate> {
    // The family of a system follows from its publisher; these have none, so that either kind of step is right.
    let steps = prop_oneof![linux(), windows()];
    let envelope =
        (of(text()), text(), tags(), tags(), id("Microsoft.ManagedIdentity/userAssignedIdentities"));
    let parts = (source(), steps, distribute(), vm_profile(), optimize());
    let rest = (on_error(), on_error(), 0..=960_u32, vec(0..9_u32, 0..3), any::<[bool; 4]>());
    (envelope, parts, rest).prop_map(|(envelope, parts, rest)| {
        let (name, location, tags, managed_resource_tags, user_assigned) = envelope;
        let (source, (customize, in_vm_validations), distribute, vm_profile, optimize) = parts;
        let (on_customizer_error, on_validation_error, build_timeout_minutes, disks, [a, b, c, d]) = rest;
        ImageTemplate {
            api_version: ApiVersion::NEWEST,
            name,
            location,
            tags,
            identity: Some(Identity { user_assigned }),
            source,
            customize,
            optimize,
            validate: (a || !in_vm_validations.is_empty()).then_some(Validate {
                in_vm_validations,
                continue_distribute_on_failure: b,
                source_validation_only: c,
            }),
            distribute,
            error_handling: ErrorHandling { on_customizer_error, on_validation_error },
            build_timeout_minutes,
            vm_profile,
            additional_data_disks: disks.into_iter().map(|size_gb| DataDisk { size_gb }).collect(),
            staging_resource_group: d.then(|| "/subscriptions/s/resourceGroups/staging".into()),
            auto_run: if d { AutoRun::Enabled } else { AutoRun::Disabled },
            managed_resource_tags,
        }
    })
}

proptest! {
    #[test]
    fn a_written_template_reads_back_as_itself(template in template()) {
        let json = template.to_json();
        let parsed = parse(&SourceText::new("written.json", json.clone()));
        let errors: Vec<_> = parsed.diagnostics.iter().filter(|found| found.is_error()).collect();
        prop_assert!(errors.is_empty(), "{errors:#?}\n{json}");
        prop_assert_eq!(parsed.template, Some(template));
    }

    #[test]
    fn no_text_makes_the_reading_panic(text in "[\\PC\n]{0,200}") {
        parse(&SourceText::new("any", text));
    }
}
