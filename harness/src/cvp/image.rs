//! Images of systems and extensions, and the bundles of them that devices and containers are to run.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    action::{self, Target},
    ask::Ask,
    client::{Client, as_flag, or_default},
    error::CvpError,
    inventory::{Container, Device},
    task::TaskId,
    upload::Upload,
    version::Level,
};

/// An image the portal has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Its name, which no other one has.
    pub name: String,
    /// The version of the system or the extension.
    #[serde(default, deserialize_with = "or_default")]
    pub version: String,
    /// Whether a device boots anew for it.
    #[serde(default, rename = "isRebootRequired", deserialize_with = "as_flag")]
    pub needs_reboot: bool,
    /// Keys of the bundles it is in.
    #[serde(default, rename = "imageBundleKeys", deserialize_with = "or_default")]
    pub bundles: Vec<String>,
}

/// Images that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Row")]
pub struct ImageBundle {
    /// What the portal calls it.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// Names of its images.
    pub images: Vec<String>,
    /// Whether it is certified.
    pub is_certified: bool,
    /// Devices it is put on.
    pub device_count: u64,
    /// Containers it is put on.
    pub container_count: u64,
}

/// A bundle, as lists and look-ups of all versions tell of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(default, deserialize_with = "or_default")]
    key: String,
    #[serde(default, deserialize_with = "or_default")]
    id: String,
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    images: Vec<Value>,
    #[serde(default, deserialize_with = "or_default")]
    image_ids: Vec<String>,
    #[serde(default, alias = "isCertifiedImageBundle", deserialize_with = "as_flag")]
    is_certified: bool,
    #[serde(default, deserialize_with = "as_flag")]
    is_certified_image: bool,
    #[serde(default, deserialize_with = "or_default")]
    applied_devices_count: u64,
    #[serde(default, deserialize_with = "or_default")]
    applied_containers_count: u64,
}

impl From<Row> for ImageBundle {
    fn from(row: Row) -> Self {
        let named = |image: &Value| image.get("name").unwrap_or(image).as_str().map(str::to_owned);
        let images: Vec<String> = row.images.iter().filter_map(named).collect();
        Self {
            key: if row.key.is_empty() { row.id } else { row.key },
            name: row.name,
            images: if images.is_empty() { row.image_ids } else { images },
            is_certified: row.is_certified || row.is_certified_image,
            device_count: row.applied_devices_count,
            container_count: row.applied_containers_count,
        }
    }
}

/// What the portal says when there is none of that name.
const ABSENT: &str = "Entity does not exist";
/// What it says when there is one already.
const TAKEN: &str = "Data already exists";

fn is_absent(error: &CvpError) -> bool {
    matches!(error, CvpError::Refused { refusal, .. } if refusal.text.contains(ABSENT))
}

/// What an error of making or changing the `kind` called `name` means.
fn meaning(error: CvpError, kind: &'static str, name: &str) -> CvpError {
    match error {
        error if is_absent(&error) => CvpError::not_found(kind, name, []),
        CvpError::Refused { refusal, .. } if refusal.text.contains(TAKEN) => {
            CvpError::Exists { kind, name: name.to_owned() }
        }
        error => error,
    }
}

impl Client {
    /// All images.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn images(&self) -> Result<Vec<Image>, CvpError> {
        let ask = Ask::get("list the images", "/image/getImages.do").query("queryparam", "");
        self.rows(&ask, "data", |image: &Image| image.name.clone()).await
    }

    /// Sends an image or an extension, under the name of its file. It is read while it is sent; `limit` is for all of it.
    ///
    /// # Errors
    /// [`CvpError::Unreadable`]; [`CvpError::Exists`]; the portal cannot be asked, or refuses.
    pub async fn upload_image(&self, file: &Path, limit: std::time::Duration) -> Result<Image, CvpError> {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let what = format!("send the image `{name}`");
        let upload = Upload::new(file, &name);
        let ask = if self.level().await? >= Level::UPLOADS {
            let reboot = name.to_lowercase().ends_with(".swi").to_string();
            let upload = upload.field("name", &name).field("rebootRequired", reboot);
            Ask::upload(what, "/cvpservice/softwaremanagement/v1/uploads", upload)
        } else {
            Ask::upload(what, "/image/addImage.do", upload)
        };
        let lost = match self.ask(&ask.within(limit)).await {
            Ok(_) => None,
            Err(error) if error.may_have_happened() => Some(error),
            Err(error) => return Err(meaning(error, "image", &name)),
        };
        let made = self.images().await?.into_iter().find(|image| image.name == name);
        made.ok_or_else(|| lost.unwrap_or_else(|| CvpError::not_found("image", &name, [])))
    }

    /// Removes an image that is in no bundle.
    ///
    /// # Errors
    /// [`CvpError::NotFound`]; the portal cannot be asked, or refuses: a bundle has it.
    pub async fn delete_image(&self, name: &str) -> Result<(), CvpError> {
        let what = format!("delete the image `{name}`");
        let deleted = self.ask(&Ask::post(what, "/image/cancelImages.do", json!({ "data": name }))).await;
        deleted.map(drop).map_err(|error| meaning(error, "image", name))
    }

    /// All bundles of images.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn image_bundles(&self) -> Result<Vec<ImageBundle>, CvpError> {
        let ask = Ask::get("list the image bundles", "/image/getImageBundles.do").query("queryparam", "");
        self.rows(&ask, "data", |bundle: &ImageBundle| bundle.key.clone()).await
    }

    /// The bundle of this name, if there is one.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn image_bundle(&self, name: &str) -> Result<Option<ImageBundle>, CvpError> {
        let ask = Ask::get(format!("look up the image bundle `{name}`"), "/image/getImageBundleByName.do");
        match self.read(&ask.query("name", name)).await {
            Ok(bundle) => Ok(Some(bundle)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a bundle of images the portal has.
    ///
    /// # Errors
    /// [`CvpError::Exists`]; the portal cannot be asked, or refuses: an image is not there.
    pub async fn add_image_bundle(
        &self,
        name: &str,
        images: &[&str],
        is_certified: bool,
    ) -> Result<ImageBundle, CvpError> {
        let body = json!({ "name": name, "isCertifiedImage": is_certified.to_string(), "images": images });
        let what = format!("make the image bundle `{name}`");
        let lost = match self.ask(&Ask::post(what, "/image/saveImageBundle.do", body)).await {
            Ok(_) => None,
            Err(error) if error.may_have_happened() => Some(error),
            Err(error) => return Err(meaning(error, "image bundle", name)),
        };
        match (self.image_bundle(name).await?, lost) {
            (Some(made), None) => Ok(made),
            (Some(made), Some(_)) if made.images == images => Ok(made),
            (_, Some(lost)) => Err(lost),
            (None, None) => Err(CvpError::not_found("image bundle", name, [])),
        }
    }

    /// Gives a bundle the name, the images and the mark that `bundle` says.
    ///
    /// # Errors
    /// [`CvpError::NotFound`], [`CvpError::Exists`] for the name; the portal cannot be asked, or refuses.
    pub async fn update_image_bundle(&self, bundle: &ImageBundle) -> Result<(), CvpError> {
        let body = json!({
            "id": bundle.key, "name": bundle.name, "isCertifiedImage": bundle.is_certified.to_string(),
            "images": bundle.images,
        });
        let what = format!("change the image bundle `{}`", bundle.name);
        let updated = self.ask(&Ask::post(what, "/image/updateImageBundle.do", body).repeatable()).await;
        updated.map(drop).map_err(|error| meaning(error, "image bundle", &bundle.name))
    }

    /// Removes a bundle that nothing is to run.
    ///
    /// # Errors
    /// [`CvpError::InUse`]; [`CvpError::NotFound`]; the portal cannot be asked, or refuses.
    pub async fn delete_image_bundle(&self, bundle: &ImageBundle) -> Result<(), CvpError> {
        let body = json!({ "data": [{ "key": bundle.key, "name": bundle.name }] });
        let what = format!("delete the image bundle `{}`", bundle.name);
        match self.ask(&Ask::post(what, "/image/deleteImageBundles.do", body)).await {
            Ok(_) => Ok(()),
            Err(error) => match self.image_bundle(&bundle.name).await? {
                Some(known) if known.device_count + known.container_count > 0 => {
                    let holders = vec![
                        format!("{} devices", known.device_count),
                        format!("{} containers", known.container_count),
                    ];
                    Err(CvpError::InUse { kind: "image bundle", name: known.name, holders })
                }
                None if error.may_have_happened() => Ok(()),
                _ => Err(meaning(error, "image bundle", &bundle.name)),
            },
        }
    }

    /// The name of the bundle a device is to run, its own or its container's.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn image_of_device(&self, device: &Device) -> Result<Option<String>, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, rename = "bundleName", deserialize_with = "or_default")]
            bundle: String,
        }
        let what = format!("look which image {device} is to run");
        let ask = Ask::get(what, "/provisioning/getNetElementInfoById.do").query("netElementId", &device.mac);
        Ok(Some(self.read::<Answer>(&ask).await?.bundle).filter(|name| !name.is_empty()))
    }

    /// The bundle the devices of a container are to run.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn image_of_container(&self, container: &Container) -> Result<Option<ImageBundle>, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, rename = "imageBundleList", deserialize_with = "or_default")]
            bundles: Vec<ImageBundle>,
        }
        let what = format!("look which image the container {} is to run", container.name);
        let ask = Ask::get(what, "/provisioning/getImageBundleByContainerId.do")
            .query("containerId", &container.key)
            .rows(0, 0)
            .query("sessionScope", false);
        Ok(self.read::<Answer>(&ask).await?.bundles.into_iter().next())
    }

    /// Lets a device run a bundle's images. Returns the tasks the portal made; executing them is another matter.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn put_image_on_device(
        &self,
        device: &Device,
        bundle: &ImageBundle,
    ) -> Result<Vec<TaskId>, CvpError> {
        let what = format!("let {device} run the image bundle `{}`", bundle.name);
        self.save(what, vec![action::put_image(&Target::Device(device), bundle)]).await
    }

    /// Lets a device no longer have a bundle of its own. Returns the tasks the portal made.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn take_image_off_device(
        &self,
        device: &Device,
        bundle: &ImageBundle,
    ) -> Result<Vec<TaskId>, CvpError> {
        let what = format!("take the image bundle `{}` off {device}", bundle.name);
        self.save(what, vec![action::take_image(&Target::Device(device), bundle)]).await
    }

    /// Lets all devices below a container run a bundle's images. Returns the tasks the portal made.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn put_image_on_container(
        &self,
        container: &Container,
        bundle: &ImageBundle,
    ) -> Result<Vec<TaskId>, CvpError> {
        let what = format!("let the container {} run the image bundle `{}`", container.name, bundle.name);
        self.save(what, vec![action::put_image(&Target::Container(container), bundle)]).await
    }

    /// Lets a container no longer have a bundle. Returns the tasks the portal made.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn take_image_off_container(
        &self,
        container: &Container,
        bundle: &ImageBundle,
    ) -> Result<Vec<TaskId>, CvpError> {
        let what = format!("take the image bundle `{}` off the container {}", bundle.name, container.name);
        self.save(what, vec![action::take_image(&Target::Container(container), bundle)]).await
    }
}
