"""What every script of this folder begins with: clients of the endpoint whose first line is on standard input."""

import json
import os
import sys

from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential

first = json.load(sys.stdin)
endpoint, subscription = first["endpoint"], first["subscription"]
os.environ["REQUESTS_CA_BUNDLE"] = first["ca"]


def credential(secret, tenant="adfs", **more):
    return ClientSecretCredential(tenant, first["client_id"], secret, authority=endpoint, **more)


def client(kind, who):
    scopes = ["https://management.azure.com/.default"]
    return kind(who, subscription, base_url=endpoint, credential_scopes=scopes, polling_interval=1)


def refused(code, call):
    try:
        call()
    except HttpResponseError as error:
        told = error.error.code if error.error else error.error_code
        assert told == code, error
        return error
    raise AssertionError(f"{code} was expected")


def comes_back(sent, back):
    """Everything that was sent is in what came back; there may be more."""
    if isinstance(sent, dict):
        for name, value in sent.items():
            assert name in back, (name, back)
            comes_back(value, back[name])
    else:
        assert sent == back, (sent, back)
