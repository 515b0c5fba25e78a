//! What is sent and read, against the example bodies of the published specification (azure-rest-api-specs: authorization
//! 2022-04-01, compute galleries 2019-07-01, imagebuilder 2025-10-01).

use azure::resources::{
    AssignmentProperties, AssignmentRequest, DefinitionProperties, Identifier, Located, RunOutput, Tags,
    Template, Trigger, TriggerProperties,
};
use serde::Serialize;
use serde_json::{Value, json};

fn sent(body: &impl Serialize) -> Value {
    serde_json::to_value(body).expect("JSON")
}

#[test]
fn a_role_assignment_is_the_published_one() {
    // RoleAssignments_CreateForResource
    let role = "/subscriptions/a925f2f7-5c63-4b7b-8799-25a5f97bc3b2/providers/Microsoft.Authorization/roleDefinitions/0b5fe924-9a61-425c-96af-cfe6e287ca2d";
    let published = json!({ "properties": {
        "roleDefinitionId": role, "principalId": "ce2ce14e-85d7-4629-bdbc-454d0519d987", "principalType": "User",
    }});
    let properties = AssignmentProperties {
        role_definition_id: role.to_owned(),
        principal_id: "ce2ce14e-85d7-4629-bdbc-454d0519d987".to_owned(),
        principal_type: Some("User"),
    };
    assert_eq!(sent(&AssignmentRequest { properties }), published);
}

#[test]
fn an_image_definition_is_the_published_one_with_what_later_versions_add() {
    // CreateOrUpdateASimpleGalleryImage
    let published = json!({ "location": "West US", "properties": {
        "osType": "Windows", "osState": "Generalized", "hyperVGeneration": "V1",
        "identifier": { "publisher": "myPublisherName", "offer": "myOfferName", "sku": "mySkuName" },
    }});
    let properties = DefinitionProperties {
        os_type: "Windows",
        os_state: "Generalized",
        hyper_v_generation: "V1",
        architecture: "x64",
        identifier: Identifier {
            publisher: "myPublisherName".to_owned(),
            offer: "myOfferName".to_owned(),
            sku: "mySkuName".to_owned(),
        },
        features: Vec::new(),
    };
    let located =
        Located { location: "West US".to_owned(), tags: Tags::default(), properties: Some(properties) };
    let mut own = sent(&located);
    let added = own["properties"].as_object_mut().expect("properties");
    assert_eq!(added.remove("architecture"), Some(json!("x64")));
    assert_eq!(added.remove("features"), Some(json!([])));
    assert_eq!(own.as_object_mut().expect("a body").remove("tags"), Some(json!({})));
    assert_eq!(own, published);
}

#[test]
fn a_trigger_is_the_published_one() {
    // CreateSourceImageTrigger
    let trigger = Trigger { properties: TriggerProperties { kind: "SourceImage" } };
    assert_eq!(sent(&trigger), json!({ "properties": { "kind": "SourceImage" } }));
}

#[test]
fn a_template_and_its_outputs_are_read_as_published() {
    // GetImageTemplate: it tells neither states nor a run.
    let template: Template = serde_json::from_value(json!({
        "name": "myImageTemplate", "type": "Microsoft.VirtualMachineImages/imageTemplates",
        "id": "/subscriptions/s/resourceGroups/myResourceGroup/providers/Microsoft.VirtualMachineImages/imageTemplates/myImageTemplate",
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { "/i": { "clientId": "c", "principalId": "p" } } },
        "location": "westus",
        "properties": {
            "customize": [{ "name": "Shell Customizer Example", "type": "Shell", "scriptUri": "https://example.com/path/to/script.sh" }],
            "distribute": [{ "type": "ManagedImage", "imageId": "/image", "location": "1_location", "runOutputName": "image_it_pir_1" }],
            "source": { "type": "ManagedImage", "imageId": "/source" },
            "vmProfile": { "osDiskSizeGB": 64, "vmSize": "Standard_D2s_v3" },
        },
    }))
    .expect("a template");
    assert!(template.id.ends_with("/imageTemplates/myImageTemplate"));
    assert_eq!(template.properties.customize[0].name.as_deref(), Some("Shell Customizer Example"));
    assert_eq!(
        (template.properties.provisioning_state.as_str(), template.properties.last_run_status),
        ("", None)
    );

    // ListRunOutputs
    let outputs: Vec<RunOutput> = serde_json::from_value(json!([{
        "name": "myManagedImageOutput", "type": "Microsoft.VirtualMachineImages/imageTemplates/runOutputs", "id": "/o",
        "properties": { "artifactId": "/subscriptions/s/resourceGroups/rg1/providers/Microsoft.Compute/images/output_managed_image",
                        "provisioningState": "Succeeded" },
    }]))
    .expect("outputs");
    assert!(
        outputs[0].properties.artifact_id.as_deref().is_some_and(|id| id.ends_with("/output_managed_image"))
    );
}
