//! An environment in which every requirement is met, to be broken one thing at a time.

use arm::Environment;
use document::SourceText;
use network_policy::Endpoint;
use preflight::{Network, Os, Report, Status, Subject, Topology};
use serde_json::{Value, json};

use crate::mutation;

pub const SUBSCRIPTION: &str = "11111111-1111-1111-1111-111111111111";
const BUILDER: &str = "22222222-2222-2222-2222-222222222222";
pub const DEPLOYER: &str = "33333333-3333-3333-3333-333333333333";

pub fn group(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}")
}

pub fn network(kind: &str, name: &str) -> String {
    format!("{}/providers/Microsoft.Network/{kind}/{name}", group("rg-net"))
}

const FETCHED: [&str; 1] = ["packages.microsoft.com:443"];

/// All resources, and the template as it is written.
#[derive(Clone)]
pub struct World {
    pub topology: Topology,
    pub resources: Vec<Value>,
    pub template: Value,
    /// What its steps fetch.
    pub endpoints: Vec<&'static str>,
}

fn rule(name: &str, direction: &str, priority: u16, from: &str, to: &str, port: &str) -> Value {
    let access = if name.starts_with("Deny") { "Deny" } else { "Allow" };
    let protocol = if access == "Deny" { "*" } else { "Tcp" };
    json!({"name": name, "properties": {
        "priority": priority, "direction": direction, "access": access, "protocol": protocol,
        "sourceAddressPrefix": from, "sourcePortRange": "*",
        "destinationAddressPrefix": to, "destinationPortRange": port,
    }})
}

fn security_group(name: &str, rules: &[Value]) -> Value {
    let deny = |direction: &str| rule(&format!("Deny{direction}"), direction, 4000, "*", "*", "*");
    let rules: Vec<_> = rules.iter().cloned().chain([deny("Inbound"), deny("Outbound")]).collect();
    json!({"id": network("networkSecurityGroups", name), "properties": {"securityRules": rules}})
}

pub fn assignment(name: &str, principal: &str, role: &str, scope: &str) -> Value {
    json!({"id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"), "name": name,
        "type": "Microsoft.Authorization/roleAssignments", "scope": scope, "principalId": principal,
        "roleDefinitionId": format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}")})
}

fn identity() -> String {
    format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-builder", group("rg-aib"))
}

fn gallery() -> String {
    format!("{}/providers/Microsoft.Compute/galleries/gal", group("rg-images"))
}

/// What both shapes share.
fn common() -> Vec<Value> {
    let vnet = network("virtualNetworks", "vnet");
    let names: Vec<_> = [
        "VirtualMachineImages",
        "Compute",
        "KeyVault",
        "Storage",
        "Network",
        "ContainerInstance",
        "ManagedIdentity",
    ]
    .iter()
    .map(|name| json!({"namespace": format!("Microsoft.{name}"), "registrationState": "Registered"}))
    .collect();
    let mut all = vec![
        json!({"id": identity(), "properties": {"principalId": BUILDER}}),
        json!({"id": format!("{}/images/jumpbox", gallery()), "properties": {"hyperVGeneration": "V2"}}),
        assignment("network", BUILDER, "4d97b98b-1d4f-4787-a291-c67834d212e7", &vnet),
        assignment("gallery", BUILDER, "85a2d0d9-2eba-4c9c-b355-11c2cc0788ab", &gallery()),
        assignment(
            "deployer",
            DEPLOYER,
            "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
            &format!("/subscriptions/{SUBSCRIPTION}"),
        ),
        json!({"id": network("networkWatchers", "watcher/flowLogs/log"), "properties": {"targetResourceId": vnet, "enabled": true}}),
        json!({"id": format!("{}/providers/Microsoft.Authorization/policyAssignments/tags", group("rg-aib")),
            "properties": {"displayName": "Audit tags", "parameters": {"effect": {"value": "Audit"}}}}),
    ];
    all.extend(names);
    all.extend(offers("eastus2"));
    all
}

fn offer(namespace: &str, kind: &str, region: &str, name: &str, mut says: Value) -> Value {
    let scope = format!("/subscriptions/{SUBSCRIPTION}/providers/{namespace}/locations/{region}");
    says["id"] = json!(format!("{scope}/{kind}/{name}"));
    says
}

/// What `check --live` tells of sizes and quotas.
fn offers(region: &str) -> Vec<Value> {
    let size = |name, family, cores| {
        offer("Microsoft.Compute", "sizes", region, name, json!({"family": family, "cores": cores}))
    };
    let quota = |namespace, name, limit| {
        offer(namespace, "usages", region, name, json!({"currentValue": 2, "limit": limit}))
    };
    vec![
        size("Standard_D2ds_v4", "standardDDSv4Family", 2),
        size("Standard_A1_v2", "standardAv2Family", 1),
        quota("Microsoft.Compute", "cores", 10),
        quota("Microsoft.Compute", "standardDDSv4Family", 10),
        quota("Microsoft.Compute", "standardAv2Family", 10),
        quota("Microsoft.ContainerInstance", "StandardCores", 10),
    ]
}

fn vnet(subnets: &[Value]) -> Value {
    json!({"id": network("virtualNetworks", "vnet"), "location": "eastus2", "properties": {
        "addressSpace": {"addressPrefixes": ["10.241.0.0/24"]},
        "dhcpOptions": {"dnsServers": ["10.200.0.4"]}, "subnets": subnets}})
}

fn subnet(name: &str, prefix: &str, more: &Value) -> Value {
    let mut properties = json!({"addressPrefix": prefix, "provisioningState": "Succeeded",
        "networkSecurityGroup": {"id": network("networkSecurityGroups", &format!("nsg-{name}"))}});
    for (key, value) in more.as_object().expect("fields") {
        properties[key] = value.clone();
    }
    json!({"name": format!("snet-{name}"), "properties": properties})
}

fn template(topology: Topology) -> Value {
    let subnet = |name: &str| network("virtualNetworks", &format!("vnet/subnets/snet-{name}"));
    let mut vnet = json!({"subnetId": subnet("build")});
    if topology == Topology::Isolated {
        vnet["containerInstanceSubnetId"] = json!(subnet("container"));
    }
    json!({
        "type": "Microsoft.VirtualMachineImages/imageTemplates", "apiVersion": "2024-02-01", "location": "eastus2",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity(): {}}},
        "properties": {
            "source": {"type": "PlatformImage", "publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"},
            "customize": [{"type": "Shell", "name": "nothing", "inline": ["true"]}],
            "distribute": [{"type": "SharedImage", "runOutputName": "out", "galleryImageId": format!("{}/images/jumpbox", gallery()),
                "targetRegions": [{"name": "eastus2"}]}],
            "vmProfile": {"vnetConfig": vnet},
        }
    })
}

fn application_rule(name: &str, host: &str) -> Value {
    json!({"ruleType": "ApplicationRule", "name": name, "sourceAddresses": ["10.241.0.0/24"],
        "protocols": [{"protocolType": "Https", "port": 443}], "targetFqdns": [host]})
}

impl World {
    /// Moves all of it to another region.
    pub fn move_to(&mut self, region: &str) {
        self.resource("/vnet")["location"] = json!(region);
        self.template["location"] = json!(region);
        self.resources.retain(|own| !own["id"].as_str().is_some_and(|id| id.contains("/locations/")));
        self.resources.extend(offers(&region.replace(' ', "").to_lowercase()));
    }

    /// The original guidance's: forced through a firewall.
    pub fn private_link() -> Self {
        let own = "10.241.0.0/28";
        let build = security_group(
            "nsg-build",
            &[
                rule("AllowProbe", "Inbound", 100, "AzureLoadBalancer", own, "60001"),
                rule("AllowPrivateLink", "Inbound", 110, own, own, "60001"),
                rule("AllowSshIn", "Inbound", 120, own, own, "22"),
                rule("AllowSshOut", "Outbound", 100, own, own, "22"),
                rule("AllowHttps", "Outbound", 110, own, "Internet", "443"),
                rule("AllowHttp", "Outbound", 120, own, "Internet", "80"),
                rule("AllowDns", "Outbound", 130, own, "10.200.0.4", "53"),
                rule("AllowDnsUdp", "Outbound", 140, own, "10.200.0.4", "53"),
            ],
        );
        let routes = json!({"id": network("routeTables", "rt"), "properties": {"routes": [
            {"name": "to-firewall", "properties": {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.200.0.4"}}]}});
        let subnets = [subnet(
            "build",
            own,
            &json!({"privateLinkServiceNetworkPolicies": "Disabled",
            "routeTable": {"id": network("routeTables", "rt")}}),
        )];
        let policy = network("firewallPolicies", "fwp");
        let firewall = json!({"id": network("azureFirewalls", "fw"), "properties": {"firewallPolicy": {"id": policy},
            "ipConfigurations": [{"properties": {"privateIPAddress": "10.200.0.4"}}]}});
        let names = json!({"id": format!("{policy}/ruleCollectionGroups/aib"), "name": "aib", "properties": {"priority": 200, "ruleCollections": [
            {"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "aib", "priority": 100, "action": {"type": "Allow"}, "rules": [
                application_rule("storage", "*.blob.core.windows.net"),
                application_rule("management", "management.azure.com"),
                application_rule("tools", "packages.microsoft.com")]}]}});
        let peering = |name: &str, to: &str| {
            json!({"id": network("virtualNetworks", name), "properties": {"peeringState": "Connected",
                "remoteVirtualNetwork": {"id": network("virtualNetworks", to)},
                "allowVirtualNetworkAccess": true, "allowForwardedTraffic": true}})
        };
        let hub = json!({"id": network("virtualNetworks", "hub"),
            "properties": {"addressSpace": {"addressPrefixes": ["10.200.0.0/24"]}}});
        let mut resources = common();
        resources.extend([
            hub,
            peering("vnet/virtualNetworkPeerings/to-hub", "hub"),
            peering("hub/virtualNetworkPeerings/to-vnet", "vnet"),
            build,
            routes,
            vnet(&subnets),
            firewall,
            json!({"id": policy, "properties": {}}),
            names,
        ]);
        let mut world = Self {
            topology: Topology::PrivateLink,
            resources,
            template: template(Topology::PrivateLink),
            endpoints: FETCHED.to_vec(),
        };
        world.rule("AllowDnsUdp")["properties"]["protocol"] = json!("Udp");
        world
    }

    /// Microsoft's recommended: two subnets with NAT gateways.
    pub fn isolated() -> Self {
        let (own, container) = ("10.241.0.0/28", "10.241.0.32/28");
        let build = security_group(
            "nsg-build",
            &[
                rule("AllowSshIn", "Inbound", 120, container, own, "22"),
                rule("AllowHttps", "Outbound", 110, own, "Internet", "443"),
                rule("AllowHttp", "Outbound", 120, own, "Internet", "80"),
                rule("AllowDns", "Outbound", 130, own, "10.200.0.4", "53"),
                rule("AllowDnsUdp", "Outbound", 140, own, "10.200.0.4", "53"),
            ],
        );
        let driver = security_group(
            "nsg-container",
            &[
                rule("AllowSshOut", "Outbound", 100, container, own, "22"),
                rule("AllowContainerHttps", "Outbound", 110, container, "Internet", "443"),
                rule("AllowSmb", "Outbound", 120, container, "Internet", "445"),
            ],
        );
        let nat = json!({"id": network("natGateways", "nat")});
        let subnets = [
            subnet("build", own, &json!({"natGateway": nat})),
            subnet(
                "container",
                container,
                &json!({"natGateway": nat, "delegations":
                [{"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}),
            ),
        ];
        let mut resources = common();
        resources.extend([build, driver, vnet(&subnets)]);
        let mut world = Self {
            topology: Topology::Isolated,
            resources,
            template: template(Topology::Isolated),
            endpoints: FETCHED.to_vec(),
        };
        world.rule("AllowDnsUdp")["properties"]["protocol"] = json!("Udp");
        world
    }

    /// A security rule by its name.
    pub fn rule(&mut self, name: &str) -> &mut Value {
        let mut rules = self
            .resources
            .iter_mut()
            .filter_map(|own| own.pointer_mut("/properties/securityRules")?.as_array_mut())
            .flatten();
        rules.find(|rule| rule["name"] == name).expect("a rule of that name")
    }

    /// Takes a security rule away.
    pub fn without_rule(&mut self, name: &str) {
        for own in &mut self.resources {
            if let Some(rules) = own["properties"]["securityRules"].as_array_mut() {
                rules.retain(|rule| rule["name"] != name);
            }
        }
    }

    /// A resource by the end of its id.
    pub fn resource(&mut self, end: &str) -> &mut Value {
        let is_it = |own: &&mut Value| own["id"].as_str().is_some_and(|id| id.ends_with(end));
        self.resources.iter_mut().find(is_it).expect("a resource of that id")
    }

    /// The properties of a subnet.
    pub fn subnet(&mut self, index: usize) -> &mut Value {
        &mut self.resource("/vnet")["properties"]["subnets"][index]["properties"]
    }

    /// Ids that are neither met nor skipped, in the order of the catalogue.
    pub fn complaints(&self) -> Vec<(&'static str, Status)> {
        let mut found = Vec::new();
        self.check(|report, _| {
            for finding in &report.findings {
                if !matches!(finding.status(), Status::Pass | Status::Skipped) {
                    found.push((finding.requirement.id, finding.status()));
                }
            }
        });
        found
    }

    /// Checks it.
    pub fn check(&self, look: impl FnOnce(&Report, &Subject<'_>)) {
        self.ask(preflight::check, look);
    }

    /// What is said of each requirement.
    pub fn said(&self) -> mutation::Said {
        let mut said = Vec::new();
        self.asked(None, preflight::check, |report, _| said = mutation::said(report)).map(|()| said)
    }

    /// Checks it with a template deployed over it.
    pub fn check_with(&self, template: &Value, look: impl FnOnce(&Report, &Subject<'_>)) {
        self.asked(Some(template), preflight::check, look).expect("a network");
    }

    /// Asks it by one of the catalogues.
    pub fn ask(&self, check: impl FnOnce(&Subject<'_>) -> Report, look: impl FnOnce(&Report, &Subject<'_>)) {
        self.asked(None, check, look).expect("a network");
    }

    /// The same, with a template deployed over it; an error is what makes the program say that a file is wrong.
    fn asked(
        &self,
        over: Option<&Value>,
        check: impl FnOnce(&Subject<'_>) -> Report,
        look: impl FnOnce(&Report, &Subject<'_>),
    ) -> Result<(), String> {
        let text = serde_json::to_string(&self.resources).expect("JSON");
        let mut environment = Environment::read(SourceText::new("world.json", text));
        environment.subscription =
            Some(arm::Named { text: SUBSCRIPTION.to_owned(), span: document::Span::default() });
        if over.is_some() {
            environment.add("repair.json");
        }
        let over =
            |path: &str| over.map(|over| SourceText::new(path, over.to_string())).ok_or("no such document");
        let inventory = environment.open(over).expect("documents");
        mutation::refusal(inventory.findings()).map_or(Ok(()), Err)?;
        let mut read = |end: &str| {
            let text = network("virtualNetworks", &format!("vnet/subnets/snet-{end}"));
            environment.build_subnet = Some(arm::Named { text, span: document::Span::default() });
            network_policy::read(&environment, &inventory)
                .map_err(|found| mutation::refusal(&found).unwrap_or_else(|| "no network".to_owned()))
        };
        let isolated = self.topology == Topology::Isolated;
        let container = if isolated { Some(read("container")?) } else { None };
        let build = read("build")?;
        let source = SourceText::new("image.json", self.template.to_string());
        let parsed = image_template::parse(&source);
        let template = parsed.template.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
        let subject = Subject {
            topology: self.topology,
            os: Os::of(&template),
            network: Some(Network::new(&environment, &inventory, Some(build), container)),
            template: Some(&template),
            endpoints: self
                .endpoints
                .iter()
                .map(|text| Endpoint::parse(text).expect("an endpoint"))
                .collect(),
            deployer: Some(DEPLOYER.to_owned()),
        };
        look(&check(&subject), &subject);
        Ok(())
    }
}
