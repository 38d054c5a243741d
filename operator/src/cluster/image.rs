//! Which image brokers are to have.

/// The image that brokers are to have.
///
/// `current` is what they have been given before: unless the resource names an image or a version, that stays, so that
/// an upgrade of the operator, whose own image `default` is, restarts nobody.
#[must_use]
pub fn resolve(
    image: Option<&str>,
    version: Option<&str>,
    current: Option<&str>,
    default: &str,
) -> String {
    match (image, version) {
        (None, None) => current.unwrap_or(default).to_owned(),
        (Some(image), None) => image.to_owned(),
        (image, Some(version)) => format!("{}:{version}", repository(image.unwrap_or(default))),
    }
}

/// An image without its tag and digest.
fn repository(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(image, _)| image);
    match image.rsplit_once(':') {
        // A colon before a slash is that of a registry's port.
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_follows_the_resource_and_never_the_operator() {
        let default = "reg:5000/fjord:2";
        let check = |image, version, current, expected: &str| {
            assert_eq!(resolve(image, version, current, default), expected);
        };
        check(None, None, None, "reg:5000/fjord:2");
        check(None, None, Some("reg:5000/fjord:1"), "reg:5000/fjord:1");
        check(
            None,
            Some("3"),
            Some("reg:5000/fjord:1"),
            "reg:5000/fjord:3",
        );
        check(Some("own/fjord:x"), None, Some("a:1"), "own/fjord:x");
        check(Some("own/fjord@sha256:12"), Some("4"), None, "own/fjord:4");
        check(Some("reg:5000/fjord"), Some("4"), None, "reg:5000/fjord:4");
    }
}
