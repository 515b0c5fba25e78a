"""Deployments, custom roles and resources of any type, by Azure's newest SDK for Python."""

import uuid

from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient

from connect import client, comes_back, credential, first, refused, subscription

owner = credential(first["client_secret"])
groups = client(ResourceManagementClient, owner)
group = groups.resource_groups.create_or_update("rg", {"location": "eastus2"})
for namespace in ["Microsoft.Network", "Microsoft.ManagedIdentity"]:
    groups.providers.register(namespace)
deployments = client(DeploymentsMgmtClient, owner).deployments


def template(kind, resources, outputs):
    schema = f"https://schema.management.azure.com/schemas/2019-04-01/{kind}.json#"
    return {"$schema": schema, "contentVersion": "1.0.0.0", "resources": resources, "outputs": outputs,
            "parameters": {"name": {"type": "string"}}}


def deployment(template, location=None):
    properties = {"mode": "Incremental", "template": template, "parameters": {"name": {"value": "builder"}}}
    return {"properties": properties} | ({"location": location} if location else {})


identity = {
    "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2023-01-31",
    "name": "[parameters('name')]", "location": "[resourceGroup().location]", "tags": {"made": "by a template"},
}
network = {
    "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2024-05-01", "name": "net",
    "location": "[resourceGroup().location]", "dependsOn": ["[parameters('name')]"],
    "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}},
}
who = {"type": "string", "value": "[reference(parameters('name'), '2023-01-31').principalId]"}
to_group = deployment(template("deploymentTemplate", [network, identity], {"who": who}))

valid = deployments.begin_validate("rg", "first", to_group).result()
assert valid.error is None, valid
changes = deployments.begin_what_if("rg", "first", to_group).result()
assert sorted(one.change_type for one in changes.changes) == ["Create", "Create"], changes
made = deployments.begin_create_or_update("rg", "first", to_group).result()
principal = client(ManagedServiceIdentityClient, owner).user_assigned_identities.get("rg", "builder")
assert made.properties.provisioning_state == "Succeeded", made
assert made.properties.outputs["who"]["value"] == principal.principal_id, made
changes = deployments.begin_what_if("rg", "first", to_group).result()
assert [one.change_type for one in changes.changes] == ["NoChange", "NoChange"], changes
operations = list(client(DeploymentsMgmtClient, owner).deployment_operations.list("rg", "first"))
kinds = [one.properties.target_resource.resource_type for one in operations]
assert sorted(kinds) == ["Microsoft.ManagedIdentity/userAssignedIdentities", "Microsoft.Network/virtualNetworks"], kinds
assert [one.name for one in deployments.list_by_resource_group("rg")] == ["first"]

# What is there and in no template stays, and is shown as its own request shows it.
beside = f"{group.id}/providers/Microsoft.Network/networkSecurityGroups/beside"
groups.resources.begin_create_or_update_by_id(beside, {"location": "eastus2"}, api_version="2024-05-01").result()
changes = deployments.begin_what_if("rg", "first", to_group).result().changes
[ignored] = [one for one in changes if one.change_type == "Ignore"]
assert ignored.before == groups.resources.get_by_id(beside, api_version="2024-05-01").as_dict(), ignored.before

unknown = template("deploymentTemplate", [identity | {"name": "[parameters('nobody')]"}], {})
refused("InvalidTemplate", lambda: deployments.begin_create_or_update("rg", "wrong", deployment(unknown)).result())

made_group = {"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2022-09-01",
              "name": "[parameters('name')]", "location": "[deployment().location]"}
to_subscription = deployment(template("subscriptionDeploymentTemplate", [made_group], {}), "westeurope")
deployments.begin_create_or_update_at_subscription_scope("groups", to_subscription).result()
assert groups.resource_groups.get("builder").location == "westeurope"
deployments.begin_delete("rg", "first").result()
refused("DeploymentNotFound", lambda: deployments.get("rg", "first"))

roles = client(AuthorizationManagementClient, owner)
sent = {
    "role_name": "Image writer", "description": "writes images", "role_type": "CustomRole",
    "permissions": [{"actions": ["Microsoft.Compute/images/write"], "not_actions": []}],
    "assignable_scopes": [group.id],
}
role = roles.role_definitions.create_or_update(group.id, str(uuid.uuid4()), sent)
back = roles.role_definitions.get_by_id(role.id)
assert (back.role_name, back.assignable_scopes) == (sent["role_name"], sent["assignable_scopes"]), back
assert back.permissions[0].actions == ["Microsoft.Compute/images/write"], back
roles.role_definitions.delete(group.id, role.name)

any_type = f"/subscriptions/{subscription}/resourceGroups/rg/providers/Contoso.Tools/hammers/one"
groups.providers.register("Contoso.Tools")
hammer = {"location": "eastus2", "tags": {"of": "steel"}, "properties": {"weight": 3}}
groups.resources.begin_create_or_update_by_id(any_type, hammer, api_version="2024-01-01").result()
comes_back(hammer, groups.resources.get_by_id(any_type, api_version="2024-01-01").as_dict())
assert any_type in [one.id for one in groups.resources.list_by_resource_group("rg")]
groups.resources.begin_delete_by_id(any_type, api_version="2024-01-01").result()
refused("ResourceNotFound", lambda: groups.resources.get_by_id(any_type, api_version="2024-01-01"))
