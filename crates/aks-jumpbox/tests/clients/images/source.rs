//! Builds on what earlier builds of the endpoint have made.

use serde_json::{Value, json};

use super::workshop::{CONTRIBUTOR, Workshop, workshop};

/// A definition of the gallery `images`.
fn definition(shop: &Workshop<'_>, name: &str) -> String {
    let identifier = json!({ "publisher": "us", "offer": "jumpbox", "sku": name });
    let properties = json!({
        "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2", "identifier": identifier,
    });
    let path = "/resourceGroups/rg/providers/Microsoft.Compute/galleries/images";
    shop.rest.put(path, &json!({ "location": "eastus2" }));
    let body = json!({ "location": "eastus2", "properties": properties });
    let answer = shop.rest.put(&format!("{path}/images/{name}"), &body);
    assert_eq!(answer.status, 201, "{answer:?}");
    shop.id(&format!("Microsoft.Compute/galleries/images/images/{name}"))
}

fn refusal(made: &Value) -> (&str, &str) {
    let error = &made["provisioningError"];
    let text = |name: &str| error[name].as_str().unwrap_or_else(|| panic!("{made}"));
    (text("provisioningErrorCode"), text("message"))
}

#[test]
fn an_image_and_a_gallery_version_of_the_endpoint_are_built_on() {
    workshop(|shop| {
        let (first, second) = (definition(shop, "first"), definition(shop, "second"));
        let image = shop.id("Microsoft.Compute/images/first");
        let of_image = json!({ "source": { "type": "ManagedImage", "imageId": image } });
        let of_gallery =
            json!({ "type": "SharedImageVersion", "imageVersionId": format!("{first}/versions/latest") });
        let early = shop.make("early", &of_image);
        assert!(refusal(&early).1.contains("Microsoft.Compute/images/read"), "{early}");
        shop.assign(CONTRIBUTOR, &format!("{}/resourceGroups/rg", shop.story.subscription()));
        let made = shop.make("missing", &of_image);
        let (code, told) = refusal(&made);
        assert!(code == "BadManagedImageSource" && told.contains("does not exist"), "{made}");
        let made = shop.make("empty", &json!({ "source": of_gallery }));
        let (code, told) = refusal(&made);
        assert!(code == "BadSharedImageVersionSource" && told.contains("does not exist"), "{made}");

        let note = json!([{ "type": "Shell", "inline": ["echo made-first | sudo tee /etc/first"] }]);
        let version = json!({
            "type": "SharedImage", "runOutputName": "version", "galleryImageId": format!("{first}/versions/1.2.3"),
            "targetRegions": [{ "name": "eastus2" }],
        });
        let managed = json!({ "type": "ManagedImage", "runOutputName": "image", "imageId": image, "location": "eastus2" });
        shop.make("first", &json!({ "customize": note, "distribute": [managed, version] }));
        let run = shop.run("first");
        assert_eq!(run["runState"], "Succeeded", "{run}");

        // The disk of the image is what a step finds.
        let look = json!([shop.fresh("test $(cat /etc/first) = made-first && exit 7")]);
        shop.make("image", &json!({ "source": of_image["source"], "customize": look }));
        let run = shop.run("image");
        assert!(run["message"].as_str().is_some_and(|told| told.contains("exit status: 7")), "{run}");

        // A version that follows its source's.
        let version = json!({
            "type": "SharedImage", "runOutputName": "version", "galleryImageId": second,
            "versioning": { "scheme": "Source" }, "targetRegions": [{ "name": "eastus2" }],
        });
        shop.make("gallery", &json!({ "source": of_gallery, "distribute": [version] }));
        let run = shop.run("gallery");
        assert_eq!(run["runState"], "Succeeded", "{run}");
        let id = shop.outputs("gallery")[0]["properties"]["artifactId"].clone();
        assert_eq!(id, format!("{second}/versions/1.2.3"));

        // An image that a client has written has no disk, whatever it says.
        let body = json!({ "location": "eastus2", "properties": { "localFile": "/etc/passwd", "localContentSha256": "x" } });
        shop.rest.put("/resourceGroups/rg/providers/Microsoft.Compute/images/mine", &body);
        let mine = json!({ "source": { "type": "ManagedImage", "imageId": shop.id("Microsoft.Compute/images/mine") } });
        let made = shop.make("mine", &mine);
        assert!(refusal(&made).1.contains("has no disk here"), "{made}");
    });
}
