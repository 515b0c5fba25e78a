"""Azure's newest SDK for Python against `aks-jumpbox serve`: groups, networks, identities and roles."""

import uuid

from azure.core.exceptions import ClientAuthenticationError, ResourceNotFoundError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

from connect import client, credential, first, refused, subscription

# The tenant's own id works as well as `adfs` where instance discovery is off.
owner = credential(first["client_secret"], first["tenant"], disable_instance_discovery=True)
try:
    credential("wrong secret").get_token("https://management.azure.com/.default")
    raise AssertionError("a wrong secret was taken")
except ClientAuthenticationError as error:
    assert "invalid_client" in str(error) or "client id or secret" in str(error), error

groups = client(ResourceManagementClient, owner)
made = groups.resource_groups.create_or_update("sdk", {"location": "East US 2", "tags": {"a": "b"}})
assert (made.name, made.location, made.tags) == ("sdk", "eastus2", {"a": "b"}), made
assert groups.resource_groups.check_existence("sdk")
assert not groups.resource_groups.check_existence("other")

for namespace in ["Microsoft.Network", "Microsoft.ManagedIdentity"]:
    assert groups.providers.register(namespace).registration_state == "Registered"
network = client(NetworkManagementClient, owner)
rule = {
    "name": "https",
    "properties": {
        "priority": 100, "direction": "Outbound", "access": "Allow", "protocol": "Tcp",
        "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "AzureCloud", "destinationPortRanges": ["443", "8443"],
    },
}
nsg = network.network_security_groups.begin_create_or_update(
    "sdk", "rules", {"location": "eastus2", "properties": {"securityRules": [rule]}}
).result()
[back] = network.security_rules.list("sdk", "rules")
for name, value in rule["properties"].items():
    assert back.as_dict()["properties"][name] == value, (name, back.as_dict())

sent = {
    "location": "eastus2",
    "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [
            {"name": f"s{index}", "properties": {
                "addressPrefix": f"10.0.{index}.0/24", "networkSecurityGroup": {"id": nsg.id}}}
            for index in range(3)
        ],
    },
}
vnet = network.virtual_networks.begin_create_or_update("sdk", "net", sent).result().as_dict()
assert vnet["properties"]["addressSpace"] == sent["properties"]["addressSpace"], vnet
subnets = list(network.subnets.list("sdk", "net"))
assert [subnet.name for subnet in subnets] == ["s0", "s1", "s2"], subnets
for subnet, wanted in zip(subnets, sent["properties"]["subnets"]):
    found = subnet.as_dict()["properties"]
    assert found["addressPrefix"] == wanted["properties"]["addressPrefix"], found
    assert found["networkSecurityGroup"]["id"] == nsg.id, found
usages = [(one.id, one.limit) for one in network.virtual_networks.list_usage("sdk", "net")]
assert usages == [(subnet.id, 251) for subnet in subnets], usages
refused(
    "InUseNetworkSecurityGroupCannotBeDeleted",
    lambda: network.network_security_groups.begin_delete("sdk", "rules").result(),
)

identities = client(ManagedServiceIdentityClient, owner)
identity = identities.user_assigned_identities.create_or_update("sdk", "builder", {"location": "eastus2"})
principal = (identity.as_dict().get("properties") or identity.as_dict()).get("principalId") or identity.principal_id
roles = client(AuthorizationManagementClient, owner)
scope = f"/subscriptions/{subscription}/resourceGroups/sdk"
[reader] = roles.role_definitions.list(scope, filter="roleName eq 'Reader'")
assignment = roles.role_assignments.create(
    scope, str(uuid.uuid4()), {"role_definition_id": reader.id, "principal_id": principal,
                               "principal_type": "ServicePrincipal"})
assert (assignment.principal_id, assignment.scope) == (principal, scope), assignment
assert [one.id for one in roles.role_assignments.list_for_scope(scope, filter="atScope()")
        if one.principal_id == principal] == [assignment.id]
roles.role_assignments.delete_by_id(assignment.id)

network.virtual_networks.begin_delete("sdk", "net").result()
network.network_security_groups.begin_delete("sdk", "rules").result()
try:
    network.virtual_networks.get("sdk", "net")
    raise AssertionError("it is still there")
except ResourceNotFoundError as error:
    assert error.error.code == "ResourceNotFound", error
groups.resource_groups.begin_delete("sdk").result()
assert not groups.resource_groups.check_existence("sdk")
