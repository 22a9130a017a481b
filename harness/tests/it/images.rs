//! Guest images, built for real in a lab's sandbox.

use std::path::PathBuf;

use polder::{
    image::{ImageStore, recipe},
    lab::LabHost,
};

#[tokio::test(flavor = "multi_thread")]
async fn images_build_in_the_sandbox_of_a_lab() {
    let host = LabHost::from_env(&|name| std::env::var(name).ok()).unwrap();
    let store = ImageStore::new(host.cache.clone());
    let start = std::time::Instant::now();
    let names = std::env::var("IMAGES").unwrap_or("minimal".into());
    for name in names.split(',') {
        let info = store
            .ensure(recipe(name).unwrap(), &host, &|text| eprintln!("{:?} {text}", start.elapsed()))
            .await
            .unwrap();
        assert!(info.dir.join(&info.disk).is_file());
        eprintln!("{} {:?}", PathBuf::from(info.dir).display(), start.elapsed());
    }
}
