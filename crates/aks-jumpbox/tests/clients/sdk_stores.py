"""The same: galleries, managed images, storage accounts and their blobs."""

import datetime

from azure.core.exceptions import ClientAuthenticationError, ResourceNotFoundError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas

from connect import client, comes_back, credential, endpoint, first, refused, subscription

owner = credential(first["client_secret"])
groups = client(ResourceManagementClient, owner)
groups.resource_groups.create_or_update("rg", {"location": "eastus2"})
for namespace in ["Microsoft.Compute", "Microsoft.Storage"]:
    groups.providers.register(namespace)

compute = client(ComputeManagementClient, owner)


def made(operations, where, sent):
    """Makes something; what the answer, a read and the list tell is what was sent."""
    answer = operations.begin_create_or_update(*where, sent).result().as_dict()
    comes_back(sent, answer)
    assert operations.get(*where).as_dict() == answer
    return answer


sent = {"location": "eastus2", "tags": {"a": "b"}, "properties": {"description": "boxes"}}
gallery = made(compute.galleries, ("rg", "gal"), sent)
assert [one.as_dict() for one in compute.galleries.list_by_resource_group("rg")] == [gallery]
sent = {
    "location": "eastus2",
    "properties": {
        "identifier": {"publisher": "me", "offer": "boxes", "sku": "v1"},
        "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2", "architecture": "x64",
        "recommended": {"vCPUs": {"min": 2, "max": 8}}, "endOfLifeDate": "2030-01-01T00:00:00Z",
        "features": [{"name": "SecurityType", "value": "TrustedLaunch"}],
    },
}
definition = made(compute.gallery_images, ("rg", "gal", "box"), sent)
assert [one.as_dict() for one in compute.gallery_images.list_by_gallery("rg", "gal")] == [definition]
disk = "https://account.blob.core.windows.net/vhds/disk.vhd"
sent = {
    "location": "eastus2", "tags": {"made": "elsewhere"},
    "properties": {
        "hyperVGeneration": "V2",
        "storageProfile": {"osDisk": {"osType": "Linux", "osState": "Generalized", "blobUri": disk}},
    },
}
image = made(compute.images, ("rg", "img"), sent)
assert [one.as_dict() for one in compute.images.list_by_resource_group("rg")] == [image]
sent = {
    "location": "eastus2",
    "properties": {
        "publishingProfile": {"targetRegions": [{"name": "eastus2", "regionalReplicaCount": 2}], "excludeFromLatest": True},
        "storageProfile": {"source": {"id": image["id"]}},
    },
}
version = made(compute.gallery_image_versions, ("rg", "gal", "box", "1.0.0"), sent)
listed = compute.gallery_image_versions.list_by_gallery_image("rg", "gal", "box")
assert [one.as_dict() for one in listed] == [version]
refused("CannotDeleteResource", lambda: compute.galleries.begin_delete("rg", "gal").result())
compute.gallery_image_versions.begin_delete("rg", "gal", "box", "1.0.0").result()
compute.gallery_images.begin_delete("rg", "gal", "box").result()
compute.galleries.begin_delete("rg", "gal").result()
compute.images.begin_delete("rg", "img").result()
for gone in [lambda: compute.galleries.get("rg", "gal"), lambda: compute.images.get("rg", "img")]:
    refused("ResourceNotFound", gone)

storage = client(StorageManagementClient, owner)
assert storage.storage_accounts.check_name_availability({"name": "boxes1", "type": "Microsoft.Storage/storageAccounts"}).name_available
sent = {"location": "eastus2", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "tags": {"a": "b"},
        "properties": {"minimumTlsVersion": "TLS1_2", "allowBlobPublicAccess": False}}
account = storage.storage_accounts.begin_create("rg", "boxes1", sent).result().as_dict()
comes_back(sent, account)
assert not storage.storage_accounts.check_name_availability({"name": "boxes1", "type": "Microsoft.Storage/storageAccounts"}).name_available
url = account["properties"]["primaryEndpoints"]["blob"]
assert url == f"{endpoint}/boxes1/", url
keys = [key.value for key in storage.storage_accounts.list_keys("rg", "boxes1").keys_property]
assert len(set(keys)) == 2

# Fetched in ranges; sent at once, since blocks are not offered.
content = bytes(range(256)) * 40_000
limits = {"max_single_get_size": 1 << 20, "max_chunk_get_size": 1 << 20}
by_key = BlobServiceClient(url, credential=keys[0], **limits).create_container("tools")
by_key.upload_blob("dir/tool.bin", content)
by_key.upload_blob("other.txt", "text")
assert [(one.name, one.size) for one in by_key.list_blobs()] == [("dir/tool.bin", len(content)), ("other.txt", 4)]
assert [one.name for one in by_key.list_blobs(name_starts_with="dir/")] == ["dir/tool.bin"]
# What would be lost is refused.
refused("NotImplementedLocally", lambda: by_key.upload_blob("named.txt", "text", metadata={"a": "b"}))

permission = ContainerSasPermissions(read=True, list=True)
until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
signature = generate_container_sas("boxes1", "tools", account_key=keys[1], permission=permission, expiry=until)
by_signature = BlobServiceClient(url, credential=signature, **limits).get_container_client("tools")
by_token = BlobServiceClient(url, credential=owner, **limits).get_container_client("tools")
refused("AuthorizationPermissionMismatch", lambda: by_token.download_blob("other.txt").readall())
roles = client(AuthorizationManagementClient, owner)
scope = f"/subscriptions/{subscription}/resourceGroups/rg"
[contributor] = roles.role_definitions.list(scope, filter="roleName eq 'Storage Blob Data Contributor'")
me = next(iter(roles.role_assignments.list_for_scope(scope, filter="atScope()"))).principal_id
roles.role_assignments.create(scope, "7d3b5f0e-5f6f-4c55-9d2f-0a0f3c1d2e11", {
    "role_definition_id": contributor.id, "principal_id": me, "principal_type": "ServicePrincipal"})
for way in [by_key, by_signature, by_token]:
    assert way.download_blob("dir/tool.bin").readall() == content
    assert way.download_blob("dir/tool.bin", offset=1_000_001, length=2_000_003).readall() == content[1_000_001:3_000_004]
    assert {one.name for one in way.list_blobs()} == {"dir/tool.bin", "other.txt"}
refused("AuthorizationPermissionMismatch", lambda: by_signature.upload_blob("new.txt", "text"))
by_token.upload_blob("new.txt", "text")
wrong = BlobServiceClient(url, credential="b3RoZXIga2V5IHRoYXQgaXMgbm90IHRoZSBhY2NvdW50J3M=").get_container_client("tools")
try:
    wrong.download_blob("other.txt")
    raise AssertionError("a wrong key was taken")
except ClientAuthenticationError as error:
    assert error.error_code == "AuthenticationFailed", error

by_key.delete_blob("other.txt")
try:
    by_key.download_blob("other.txt")
    raise AssertionError("it is still there")
except ResourceNotFoundError as error:
    assert error.error_code == "BlobNotFound", error
storage.storage_accounts.delete("rg", "boxes1")
refused("ResourceNotFound", lambda: storage.storage_accounts.get_properties("rg", "boxes1"))
