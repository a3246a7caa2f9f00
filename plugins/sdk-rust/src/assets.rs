//! Files that came with the plugin: those of its manifest, read through the host.

#[doc(hidden)]
#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../crates/r1x-reward/wit",
        world: "with-assets",
    });
}

/// The bytes of a file, by the name the manifest gives it. Natively, where there is no host, there is none.
pub fn read(name: &str) -> Result<Vec<u8>, String> {
    #[cfg(target_arch = "wasm32")]
    return bindings::r1x::reward::assets::read(name);
    #[cfg(not(target_arch = "wasm32"))]
    Err(format!("no asset `{name}` outside a host"))
}
