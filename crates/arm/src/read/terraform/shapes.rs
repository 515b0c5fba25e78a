//! How the resources of Terraform's `azurerm` provider spell what Azure Resource Manager calls otherwise.
//!
//! Source: the argument references of the provider's documentation, version 4; names of version 3 beside them.

/// A kind of resource.
pub(super) struct Shape {
    /// Terraform's type.
    pub terraform: &'static str,
    /// Azure's type.
    pub arm: &'static str,
    /// Which resource it describes.
    pub target: Target,
    /// Its fields.
    pub fields: &'static [Field],
}

/// Which resource a Terraform resource describes.
pub(super) enum Target {
    /// The one whose names these fields hold, outermost first.
    Named(&'static [&'static str]),
    /// A resource called `name` in the one whose id this field holds.
    In(&'static str),
    /// The one whose id this field holds: associations.
    Of(&'static str),
    /// An item of a list of the one whose id this field holds.
    Item(&'static str),
}

/// A field: Terraform's name, Azure's name, and how one becomes the other.
pub(super) struct Field(pub &'static str, pub &'static str, pub How);

pub(super) enum How {
    /// As it is.
    Plain,
    /// The same; what is left out is not known, because what Azure makes of that is not documented.
    Told(&'static How),
    /// A value becomes an object with this member.
    Object(&'static str),
    /// Each value of a list becomes an object with this member.
    Objects(&'static str),
    /// A boolean becomes `Enabled` or `Disabled`.
    Enabled,
    /// A block that stands at most once becomes an object.
    Block(&'static [Field]),
    /// Blocks become a list of objects, each with these constant members.
    Blocks(&'static [Field], &'static [(&'static str, &'static str)]),
}

use How::{Block, Blocks, Enabled, Object, Objects, Plain, Told};

const RULE: &[Field] = &[
    Field("name", "name", Plain),
    Field("priority", "priority", Plain),
    Field("direction", "direction", Plain),
    Field("access", "access", Plain),
    Field("protocol", "protocol", Plain),
    Field("source_port_range", "sourcePortRange", Plain),
    Field("source_port_ranges", "sourcePortRanges", Plain),
    Field("destination_port_range", "destinationPortRange", Plain),
    Field("destination_port_ranges", "destinationPortRanges", Plain),
    Field("source_address_prefix", "sourceAddressPrefix", Plain),
    Field("source_address_prefixes", "sourceAddressPrefixes", Plain),
    Field("destination_address_prefix", "destinationAddressPrefix", Plain),
    Field("destination_address_prefixes", "destinationAddressPrefixes", Plain),
    Field("source_application_security_group_ids", "sourceApplicationSecurityGroups", Objects("id")),
    Field(
        "destination_application_security_group_ids",
        "destinationApplicationSecurityGroups",
        Objects("id"),
    ),
];

const SUBNET: &[Field] = &[
    Field("name", "name", Plain),
    Field("address_prefix", "addressPrefix", Plain),
    Field("address_prefixes", "addressPrefixes", Plain),
    Field("security_group", "networkSecurityGroup", Object("id")),
    Field("route_table_id", "routeTable", Object("id")),
    Field("service_endpoints", "serviceEndpoints", Objects("service")),
    Field("default_outbound_access_enabled", "defaultOutboundAccess", Plain),
    Field("private_link_service_network_policies_enabled", "privateLinkServiceNetworkPolicies", Enabled),
    Field("private_endpoint_network_policies", "privateEndpointNetworkPolicies", Plain),
    Field("delegation", "delegations", Blocks(&[Field("name", "name", Plain)], &[])),
];

const ROUTE: &[Field] = &[
    Field("name", "name", Plain),
    Field("address_prefix", "addressPrefix", Plain),
    Field("next_hop_type", "nextHopType", Plain),
    Field("next_hop_in_ip_address", "nextHopIpAddress", Plain),
];

const APPLICATION_PROTOCOL: &[Field] = &[Field("type", "protocolType", Plain), Field("port", "port", Plain)];

/// A rule of a firewall: what all kinds have, and what this one has.
macro_rules! rule {
    ($($field:expr),* $(,)?) => {
        &[
            Field("name", "name", Plain),
            Field("source_addresses", "sourceAddresses", Plain),
            Field("source_ip_groups", "sourceIpGroups", Plain),
            $($field),*
        ]
    };
}

const APPLICATION_RULE: &[Field] = rule![
    Field("destination_addresses", "destinationAddresses", Plain),
    Field("protocols", "protocols", Blocks(APPLICATION_PROTOCOL, &[])),
    Field("protocol", "protocols", Blocks(APPLICATION_PROTOCOL, &[])),
    Field("destination_fqdns", "targetFqdns", Plain),
    Field("target_fqdns", "targetFqdns", Plain),
    Field("destination_urls", "targetUrls", Plain),
    Field("destination_fqdn_tags", "fqdnTags", Plain),
    Field("fqdn_tags", "fqdnTags", Plain),
    Field("web_categories", "webCategories", Plain),
    Field("terminate_tls", "terminateTLS", Plain),
];

const NETWORK_RULE: &[Field] = rule![
    Field("destination_addresses", "destinationAddresses", Plain),
    Field("destination_ip_groups", "destinationIpGroups", Plain),
    Field("destination_fqdns", "destinationFqdns", Plain),
    Field("destination_ports", "destinationPorts", Plain),
    Field("protocols", "ipProtocols", Plain),
];

const NAT_RULE: &[Field] = rule![
    Field("destination_address", "destinationAddresses", Plain),
    Field("destination_addresses", "destinationAddresses", Plain),
    Field("destination_ports", "destinationPorts", Plain),
    Field("protocols", "ipProtocols", Plain),
    Field("translated_address", "translatedAddress", Plain),
    Field("translated_fqdn", "translatedFqdn", Plain),
    Field("translated_port", "translatedPort", Plain),
];

const ADMIN_ADDRESS: &How = &Blocks(
    &[
        Field("address_prefix", "addressPrefix", Plain),
        Field("address_prefix_type", "addressPrefixType", Plain),
    ],
    &[],
);

const ADMIN_RULE: &[Field] = &[
    Field("name", "name", Plain),
    Field("priority", "priority", Plain),
    Field("direction", "direction", Plain),
    Field("action", "access", Plain),
    Field("protocol", "protocol", Plain),
    Field("source_port_ranges", "sourcePortRanges", Told(&Plain)),
    Field("destination_port_ranges", "destinationPortRanges", Told(&Plain)),
    Field("source", "sources", Told(ADMIN_ADDRESS)),
    Field("destination", "destinations", Told(ADMIN_ADDRESS)),
];

/// A collection of rules of one kind.
macro_rules! collection {
    ($rule:expr, $kind:literal) => {
        &[
            Field("name", "name", Plain),
            Field("priority", "priority", Plain),
            Field("action", "action", Object("type")),
            Field("rule", "rules", Blocks($rule, &[("ruleType", $kind)])),
        ]
    };
}

const APPLICATION_COLLECTION: &[Field] = collection!(APPLICATION_RULE, "ApplicationRule");
const NETWORK_COLLECTION: &[Field] = collection!(NETWORK_RULE, "NetworkRule");
const NAT_COLLECTION: &[Field] = collection!(NAT_RULE, "NatRule");
const FILTER: &[(&str, &str)] = &[("ruleCollectionType", "FirewallPolicyFilterRuleCollection")];
const NAT: &[(&str, &str)] = &[("ruleCollectionType", "FirewallPolicyNatRuleCollection")];

const NSG: &str = "Microsoft.Network/networkSecurityGroups";
const NETWORK: &str = "Microsoft.Network/virtualNetworks";
const SUBNETS: &str = "Microsoft.Network/virtualNetworks/subnets";
const FIREWALL: &str = "Microsoft.Network/azureFirewalls";
const POLICY: &str = "Microsoft.Network/firewallPolicies";

/// Every kind that is read.
pub(super) const SHAPES: &[Shape] = &[
    Shape {
        terraform: "azurerm_network_security_group",
        arm: NSG,
        target: Target::Named(&["name"]),
        fields: &[Field("name", "name", Plain), Field("security_rule", "securityRules", Blocks(RULE, &[]))],
    },
    Shape {
        terraform: "azurerm_network_security_rule",
        arm: "Microsoft.Network/networkSecurityGroups/securityRules",
        target: Target::Named(&["network_security_group_name", "name"]),
        fields: RULE,
    },
    Shape {
        terraform: "azurerm_virtual_network",
        arm: NETWORK,
        target: Target::Named(&["name"]),
        fields: &[
            Field("name", "name", Plain),
            Field("location", "location", Plain),
            Field("address_space", "addressSpace", Object("addressPrefixes")),
            Field("dns_servers", "dhcpOptions", Object("dnsServers")),
            Field("subnet", "subnets", Blocks(SUBNET, &[])),
        ],
    },
    Shape {
        terraform: "azurerm_subnet",
        arm: SUBNETS,
        target: Target::Named(&["virtual_network_name", "name"]),
        fields: SUBNET,
    },
    Shape {
        terraform: "azurerm_subnet_network_security_group_association",
        arm: SUBNETS,
        target: Target::Of("subnet_id"),
        fields: &[Field("network_security_group_id", "networkSecurityGroup", Object("id"))],
    },
    Shape {
        terraform: "azurerm_subnet_route_table_association",
        arm: SUBNETS,
        target: Target::Of("subnet_id"),
        fields: &[Field("route_table_id", "routeTable", Object("id"))],
    },
    Shape {
        terraform: "azurerm_subnet_nat_gateway_association",
        arm: SUBNETS,
        target: Target::Of("subnet_id"),
        fields: &[Field("nat_gateway_id", "natGateway", Object("id"))],
    },
    Shape {
        terraform: "azurerm_virtual_network_dns_servers",
        arm: NETWORK,
        target: Target::Of("virtual_network_id"),
        fields: &[Field("dns_servers", "dhcpOptions", Object("dnsServers"))],
    },
    Shape {
        terraform: "azurerm_virtual_network_peering",
        arm: "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
        target: Target::Named(&["virtual_network_name", "name"]),
        fields: &[
            Field("name", "name", Plain),
            Field("remote_virtual_network_id", "remoteVirtualNetwork", Object("id")),
            Field("allow_virtual_network_access", "allowVirtualNetworkAccess", Plain),
            Field("use_remote_gateways", "useRemoteGateways", Plain),
        ],
    },
    Shape {
        terraform: "azurerm_route_table",
        arm: "Microsoft.Network/routeTables",
        target: Target::Named(&["name"]),
        fields: &[
            Field("name", "name", Plain),
            Field("route", "routes", Blocks(ROUTE, &[])),
            Field("disable_bgp_route_propagation", "disableBgpRoutePropagation", Plain),
        ],
    },
    Shape {
        terraform: "azurerm_route",
        arm: "Microsoft.Network/routeTables/routes",
        target: Target::Named(&["route_table_name", "name"]),
        fields: ROUTE,
    },
    Shape {
        terraform: "azurerm_firewall",
        arm: FIREWALL,
        target: Target::Named(&["name"]),
        fields: &[
            Field("name", "name", Plain),
            Field("firewall_policy_id", "firewallPolicy", Object("id")),
            Field(
                "ip_configuration",
                "ipConfigurations",
                Blocks(
                    &[
                        Field("name", "name", Plain),
                        Field("private_ip_address", "privateIPAddress", Plain),
                        Field("subnet_id", "subnet", Object("id")),
                    ],
                    &[],
                ),
            ),
        ],
    },
    Shape {
        terraform: "azurerm_firewall_application_rule_collection",
        arm: "Microsoft.Network/azureFirewalls/applicationRuleCollections",
        target: Target::Named(&["azure_firewall_name", "name"]),
        fields: APPLICATION_COLLECTION,
    },
    Shape {
        terraform: "azurerm_firewall_network_rule_collection",
        arm: "Microsoft.Network/azureFirewalls/networkRuleCollections",
        target: Target::Named(&["azure_firewall_name", "name"]),
        fields: NETWORK_COLLECTION,
    },
    Shape {
        terraform: "azurerm_firewall_nat_rule_collection",
        arm: "Microsoft.Network/azureFirewalls/natRuleCollections",
        target: Target::Named(&["azure_firewall_name", "name"]),
        fields: NAT_COLLECTION,
    },
    Shape {
        terraform: "azurerm_firewall_policy",
        arm: POLICY,
        target: Target::Named(&["name"]),
        fields: &[
            Field("name", "name", Plain),
            Field("base_policy_id", "basePolicy", Object("id")),
            Field("threat_intelligence_mode", "threatIntelMode", Plain),
            Field(
                "dns",
                "dnsSettings",
                Block(&[Field("servers", "servers", Plain), Field("proxy_enabled", "enableProxy", Plain)]),
            ),
        ],
    },
    Shape {
        terraform: "azurerm_firewall_policy_rule_collection_group",
        arm: "ruleCollectionGroups",
        target: Target::In("firewall_policy_id"),
        fields: &[
            Field("name", "name", Plain),
            Field("priority", "priority", Plain),
            Field("application_rule_collection", "ruleCollections", Blocks(APPLICATION_COLLECTION, FILTER)),
            Field("network_rule_collection", "ruleCollections", Blocks(NETWORK_COLLECTION, FILTER)),
            Field("nat_rule_collection", "ruleCollections", Blocks(NAT_COLLECTION, NAT)),
        ],
    },
    Shape {
        terraform: "azurerm_ip_group",
        arm: "Microsoft.Network/ipGroups",
        target: Target::Named(&["name"]),
        fields: &[Field("name", "name", Plain), Field("cidrs", "ipAddresses", Plain)],
    },
    Shape {
        terraform: "azurerm_application_security_group",
        arm: "Microsoft.Network/applicationSecurityGroups",
        target: Target::Named(&["name"]),
        fields: &[Field("name", "name", Plain)],
    },
    Shape {
        terraform: "azurerm_ip_group_cidr",
        arm: "Microsoft.Network/ipGroups",
        target: Target::Item("ip_group_id"),
        fields: &[Field("cidr", "ipAddresses", Plain)],
    },
    Shape {
        terraform: "azurerm_network_manager",
        arm: "Microsoft.Network/networkManagers",
        target: Target::Named(&["name"]),
        fields: &[Field("name", "name", Plain)],
    },
    Shape {
        terraform: "azurerm_network_manager_network_group",
        arm: "networkGroups",
        target: Target::In("network_manager_id"),
        fields: &[Field("name", "name", Plain)],
    },
    Shape {
        terraform: "azurerm_network_manager_static_member",
        arm: "staticMembers",
        target: Target::In("network_group_id"),
        fields: &[Field("name", "name", Plain), Field("target_virtual_network_id", "resourceId", Plain)],
    },
    Shape {
        terraform: "azurerm_network_manager_security_admin_configuration",
        arm: "securityAdminConfigurations",
        target: Target::In("network_manager_id"),
        fields: &[Field("name", "name", Plain)],
    },
    Shape {
        terraform: "azurerm_network_manager_admin_rule_collection",
        arm: "ruleCollections",
        target: Target::In("security_admin_configuration_id"),
        fields: &[
            Field("name", "name", Plain),
            Field("network_group_ids", "appliesToGroups", Objects("networkGroupId")),
        ],
    },
    Shape {
        terraform: "azurerm_network_manager_admin_rule",
        arm: "rules",
        target: Target::In("admin_rule_collection_id"),
        fields: ADMIN_RULE,
    },
];
