//! Images that are sent, and bundles of them.

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    super::model::{About, Bundle, Image, Refused},
    Answer, Cx,
};
use crate::cvp::server::wire::classic::{Data, Named, Page, text};

/// A part of a form.
struct Part<'a> {
    name: String,
    file: Option<String>,
    content: &'a [u8],
}

/// Takes a form apart: between two boundaries a head, an empty line, and what was sent.
fn parts<'a>(content_type: &str, body: &'a [u8]) -> Option<Vec<Part<'a>>> {
    let boundary = content_type.split(';').find_map(|field| field.trim().strip_prefix("boundary="))?;
    let boundary = format!("--{}", boundary.trim_matches('"'));
    let starts: Vec<usize> = find_all(body, boundary.as_bytes());
    let mut parts = vec![];
    for (start, end) in starts.iter().zip(starts.iter().skip(1)) {
        let part = body.get(start + boundary.len()..*end)?;
        let head = *find_all(part, b"\r\n\r\n").first()?;
        let text = String::from_utf8_lossy(part.get(..head)?).into_owned();
        let field = |name: &str| {
            let (_, rest) = text.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let content = part.get(head + 4..)?;
        let content = content.strip_suffix(b"\r\n").unwrap_or(content);
        parts.push(Part { name: field(" name")?, file: field("filename"), content });
    }
    Some(parts)
}

fn find_all(text: &[u8], what: &[u8]) -> Vec<usize> {
    text.windows(what.len()).enumerate().filter(|(_, part)| *part == what).map(|(at, _)| at).collect()
}

pub(super) fn upload(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let invalid = || Refused::invalid(About::Image, "a form with a file named `file`");
    let parts = parts(&cx.request.content_type, &cx.request.body).ok_or_else(invalid)?;
    let file = parts.iter().find(|part| part.name == "file").ok_or_else(invalid)?;
    let field = |name: &str| {
        let part = parts.iter().find(|part| part.name == name);
        part.map(|part| String::from_utf8_lossy(part.content).into_owned())
    };
    let name =
        field("name").or_else(|| file.file.clone()).filter(|name| !name.is_empty()).ok_or_else(invalid)?;
    if cx.model.images.contains_key(&name) {
        return Err(Refused::exists(About::Image));
    }
    // `EOS-4.32.0F.swi` is version 4.32.0F.
    let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
    let version = stem.rsplit_once('-').map_or(stem, |(_, version)| version).to_owned();
    let digest: String = Sha256::digest(file.content).iter().map(|byte| format!("{byte:02x}")).collect();
    let reboot =
        field("rebootRequired").map_or(name.ends_with(".swi"), |text| text.eq_ignore_ascii_case("true"));
    let image = Image {
        version,
        size: u64::try_from(file.content.len()).unwrap_or(u64::MAX),
        sha256: digest,
        reboot,
        uploaded_by: cx.user(),
        uploaded_at: cx.model.clock.stamp(),
    };
    let answer = json!({
        "result": "success", "name": name, "imageId": name, "isRebootRequired": reboot.to_string(),
        "version": image.version, "sha256": image.sha256, "imageSize": image.size,
    });
    cx.model.images.insert(name, image);
    Ok(Answer::json(&answer))
}

pub(super) fn cancel(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Data { data: name }: Data<String> = cx.body()?;
    if cx.model.bundles.values().any(|bundle| bundle.images.contains(&name)) {
        let why = super::super::model::Why::InUse;
        return Err(Refused::new(About::Image, why, format!("image {name} is part of a bundle")));
    }
    cx.model.images.remove(&name).ok_or_else(|| Refused::absent(About::Image))?;
    Ok(Answer::success())
}

pub(super) fn list(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let wanted = cx.query("queryparam").to_lowercase();
    let found = cx.model.images.iter().filter(|(name, _)| name.to_lowercase().contains(&wanted));
    let (total, data) = cx.page(found.map(|(name, image)| image_row(cx, name, image)));
    Ok(Answer::json(&Page { total, data }))
}

fn image_row(cx: &Cx<'_>, name: &str, image: &Image) -> Value {
    let holds = |bundle: &&Bundle| bundle.images.iter().any(|known| known == name);
    let bundles = cx.model.bundles.iter().filter(|(_, bundle)| holds(bundle)).map(|(key, _)| key);
    json!({
        "name": name, "imageId": name, "imageBundleKeys": bundles.collect::<Vec<_>>(), "version": image.version,
        "sha256": image.sha256, "swiVarient": "US", "isRebootRequired": image.reboot.to_string(),
        "imageSize": image.size, "user": image.uploaded_by, "uploadedDateinLongFormat": image.uploaded_at, "key": name,
    })
}

fn bundle_row(cx: &Cx<'_>, key: &str, bundle: &Bundle) -> Value {
    let (devices, containers) = cx.model.bundle_uses(key);
    let images =
        bundle.images.iter().filter_map(|name| Some(image_row(cx, name, cx.model.images.get(name)?)));
    json!({
        "key": key, "id": key, "name": bundle.name, "imageIds": bundle.images, "images": images.collect::<Vec<_>>(),
        "isCertifiedImageBundle": bundle.certified.to_string(), "isCertifiedImage": bundle.certified.to_string(),
        "appliedDevicesCount": devices, "appliedContainersCount": containers, "user": bundle.user,
        "uploadedDateinLongFormat": bundle.changed_at,
    })
}

pub(super) fn bundles(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let wanted = cx.query("queryparam").to_lowercase();
    let found = cx.model.bundles.iter().filter(|(_, bundle)| bundle.name.to_lowercase().contains(&wanted));
    let (total, data) = cx.page(found.map(|(key, bundle)| bundle_row(cx, key, bundle)));
    Ok(Answer::json(&Page { total, data }))
}

pub(super) fn bundle(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let key = cx.model.bundle(cx.query("name"))?;
    let bundle = cx.model.bundles.get(&key).ok_or_else(|| Refused::absent(About::Image))?;
    Ok(Answer::json(&bundle_row(cx, &key, bundle)))
}

/// What a bundle is to be.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct New {
    #[serde(default, deserialize_with = "text")]
    id: String,
    name: String,
    #[serde(default, deserialize_with = "text")]
    is_certified_image: String,
    /// Names, or objects that have them.
    #[serde(default)]
    images: Vec<Value>,
}

fn set(cx: &mut Cx<'_>) -> Result<String, Refused> {
    let new: New = cx.body()?;
    let name = |image: &Value| image.get("name").unwrap_or(image).as_str().map(str::to_owned);
    let images: Vec<String> = new.images.iter().filter_map(name).collect();
    if let Some(unknown) = images.iter().find(|name| !cx.model.images.contains_key(*name)) {
        return Err(Refused::invalid(About::Image, format!("there is no image {unknown}")));
    }
    let certified = new.is_certified_image.eq_ignore_ascii_case("true");
    let bundle = Bundle { name: new.name.clone(), images, certified, ..Bundle::default() };
    let user = cx.user();
    cx.model.set_bundle(&user, Some(new.id.as_str()).filter(|id| !id.is_empty()), bundle)?;
    Ok(new.name)
}

pub(super) fn save_bundle(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let name = set(cx)?;
    Ok(Answer::data(format!("Bundle : {name} successfully created")))
}

pub(super) fn update_bundle(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    set(cx)?;
    Ok(Answer::data("Image bundle updated successfully"))
}

pub(super) fn delete_bundles(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Data { data }: Data<Vec<Named>> = cx.body()?;
    let keys: Vec<String> = data.into_iter().map(|named| named.key).collect();
    cx.model.delete_bundles(&keys)?;
    Ok(Answer::success())
}

pub(super) fn of_container(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let container = cx.model.container(cx.query("containerId"))?;
    let bundle = container.image.as_ref().and_then(|key| cx.model.bundles.get_key_value(key));
    let rows: Vec<Value> = bundle.into_iter().map(|(key, bundle)| bundle_row(cx, key, bundle)).collect();
    Ok(Answer::json(&json!({"total": rows.len(), "imageBundleList": rows, "imageBundleMapper": {}})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_taken_apart() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nn\r\n\
            --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.swi\"\r\n\r\na\r\n\r\nb\r\n--x--\r\n";
        let parts = parts("multipart/form-data; boundary=x", body).unwrap();
        let read: Vec<_> = parts.iter().map(|p| (p.name.as_str(), p.file.as_deref(), p.content)).collect();
        assert_eq!(read, [("name", None, &b"n"[..]), ("file", Some("f.swi"), &b"a\r\n\r\nb"[..])]);
    }
}
