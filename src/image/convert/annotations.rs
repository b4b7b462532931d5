//! Annotations: the image's labels and properties, without what would give orders to the runtime.

use std::collections::BTreeMap;

use super::Options;
use crate::configuration::Configuration;

/// Prefixes of annotations that runtimes obey. From an image they would be its orders to the host (CVE-2026-53488).
const CONTROL: &[&str] = &[
    "cdi.k8s.io/",
    "com.github.containers.coracle.",
    "coracle.",
    "dev.gvisor.",
    "io.containers.",
    "io.coracle.",
    "io.katacontainers.",
    "io.kubernetes.",
    "io.podman.",
    "krun.",
    "module.wasm.",
    "org.coracle.",
    "org.criu.",
    "org.systemd.",
    "run.oci.",
];

/// The annotations of the configuration: what the image is (conversion.md), its labels over that, the caller's over all.
pub fn annotations(image: &Configuration, options: &Options, warnings: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let ports: Vec<_> = image.config.exposed_ports.keys().cloned().collect();
    let features = image.os_features.clone().unwrap_or_default();
    let properties = [
        ("os", Some(image.os.clone())),
        ("architecture", Some(image.architecture.clone())),
        ("variant", image.variant.clone()),
        ("os.version", image.os_version.clone()),
        ("os.features", Some(features.join(","))),
        ("author", image.author.clone()),
        ("created", image.created.clone()),
        ("stopSignal", Some(image.config.stop_signal.clone())),
        ("exposedPorts", Some(ports.join(","))),
    ];
    for (name, value) in properties {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            all.insert(format!("org.opencontainers.image.{name}"), value);
        }
    }
    for (key, value) in &image.config.labels {
        if key.is_empty() {
            continue;
        }
        if !options.trust_image_annotations && CONTROL.iter().any(|prefix| key.starts_with(prefix)) {
            warnings.push(format!("label {key:?} of the image would control the runtime, it is left out"));
            continue;
        }
        all.insert(key.clone(), value.clone());
    }
    all.extend(options.annotations.iter().cloned());
    all
}
