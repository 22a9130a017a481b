//! Guest images, built for real in a lab's sandbox.

use polder::{
    image::{ImageStore, recipe},
    lab::LabHost,
};

#[tokio::test(flavor = "multi_thread")]
async fn images_build_in_the_sandbox_of_a_lab() {
    let host = LabHost::from_env(&|name| std::env::var(name).ok()).unwrap();
    let store = ImageStore::new(host.cache.clone());
    for name in ["minimal", "debian12"] {
        let recipe = recipe(name).unwrap();
        let info = store.ensure(recipe, &host, &|text| eprintln!("{text}")).await.unwrap();
        for file in [&info.disk, &info.kernel, &info.initrd] {
            assert!(info.dir.join(file).is_file(), "{name} has no {}", file.display());
        }
        assert_eq!(store.find(recipe), Some(info));
    }
}
