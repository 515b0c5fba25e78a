"""The same: an image template from its making to its run and its end. The build is real."""

import uuid

from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.imagebuilder import ImageBuilderClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource.resources import ResourceManagementClient

from connect import client, comes_back, credential, endpoint, first, refused, subscription

owner = credential(first["client_secret"])
groups = client(ResourceManagementClient, owner)
scope = groups.resource_groups.create_or_update("rg", {"location": "eastus2"}).id
for name in ["VirtualMachineImages", "Compute", "Storage", "Network", "ManagedIdentity"]:
    groups.providers.register(f"Microsoft.{name}")
identity = client(ManagedServiceIdentityClient, owner).user_assigned_identities.create_or_update(
    "rg", "builder", {"location": "eastus2"})
roles = client(AuthorizationManagementClient, owner)
[contributor] = roles.role_definitions.list(scope, filter="roleName eq 'Contributor'")
roles.role_assignments.create(scope, str(uuid.uuid4()), {
    "role_definition_id": contributor.id, "principal_id": identity.principal_id,
    "principal_type": "ServicePrincipal"})

builder = client(ImageBuilderClient, owner)
templates = builder.virtual_machine_image_templates
image = f"{scope}/providers/Microsoft.Compute/images/box"
sent = {
    "location": "eastus2", "tags": {"purpose": "jump box"},
    "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity.id: {}}},
    "properties": {
        "source": {"type": "PlatformImage", "publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"},
        "customize": [{"type": "Shell", "name": "note", "inline": ["echo made-by-the-sdk > /tmp/note"]}],
        "buildTimeoutInMinutes": 30, "managedResourceTags": {"who": "builder"},
        "vmProfile": {"vmSize": "Standard_D2s_v5", "osDiskSizeGB": 30},
        "distribute": [{"type": "ManagedImage", "runOutputName": "image", "location": "eastus2", "imageId": image,
                        "artifactTags": {"made": "here"}}],
    },
}
template = templates.begin_create_or_update("rg", "box", sent).result().as_dict()
comes_back({name: value for name, value in sent.items() if name != "identity"}, template)
assert list(template["identity"]["userAssignedIdentities"]) == [identity.id], template["identity"]
assert template["properties"]["provisioningState"] == "Succeeded", template
assert templates.get("rg", "box").as_dict() == template
assert [one.as_dict() for one in templates.list()] == [template]
assert [one.as_dict() for one in templates.list_by_resource_group("rg")] == [template]
refused("Conflict", lambda: templates.begin_create_or_update("rg", "box", sent).result())
refused("OperationNotAllowed", lambda: templates.begin_cancel("rg", "box").result())
assert list(templates.list_run_outputs("rg", "box")) == []

trigger = {"properties": {"kind": "SourceImage"}}
made = builder.triggers.begin_create_or_update("rg", "box", "newer", trigger).result().as_dict()
comes_back(trigger, made)
assert [one.as_dict() for one in builder.triggers.list_by_image_template("rg", "box")] == [made]
builder.triggers.begin_delete("rg", "box", "newer").result()
assert list(builder.triggers.list_by_image_template("rg", "box")) == []

templates.begin_run("rg", "box").result()
status = templates.get("rg", "box").properties.last_run_status
assert status.run_state == "Succeeded" and status.end_time >= status.start_time, status
[output] = templates.list_run_outputs("rg", "box")
assert (output.name, output.properties.artifact_id) == ("image", image), output
assert templates.get_run_output("rg", "box", "image").as_dict() == output.as_dict()
refused("ResourceNotFound", lambda: templates.get_run_output("rg", "box", "none"))
refused("OperationNotAllowed", lambda: templates.begin_cancel("rg", "box").result())
templates.begin_delete("rg", "box").result()
refused("ResourceNotFound", lambda: templates.get("rg", "box"))
