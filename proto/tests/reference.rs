//! `docs/grpc.md`, made from the comments of the protos so that it cannot say anything else.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::HashMap;
use std::fmt::Write;

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
    source_code_info::Location,
};

const PACKAGE: &str = "fjord.v1";
/// Numbers of fields in descriptors, of which the paths of comments are made.
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const SERVICES: i32 = 6;
const MEMBERS: i32 = 2;

const INTRODUCTION: &str = "\
# gRPC API

The API of package `fjord.v1`, from the comments in `proto/fjord/v1`. The listener is `fjord.grpc.listen`, port 9192 unless
chosen otherwise. `grpc.health.v1.Health` and `grpc.reflection.v1.ServerReflection` are served there too, so that
`grpcurl -plaintext localhost:9192 list` works.

Any broker takes any call, and sends it on to where it belongs: to the leaders of its partitions, to the coordinator of its
group. When that one dies, reads pause until there is another one, and so do produce requests with a `sequence`, for as long
as their `timeout_ms`: nothing is lost, nothing is there twice, and the order is kept. A produce request without a `sequence`
is sent again only if it certainly was not written; otherwise it fails as `UNAVAILABLE`, and may be tried again.

A call that fails has the gRPC status code that its cause suggests, a sentence that says what to do, and as a detail a
`google.rpc.ErrorInfo`: `reason` is Kafka's name for the error (`UNKNOWN_TOPIC_OR_PARTITION`), `domain` is `fjord.dev`, and
`metadata[\"retriable\"]` says whether the same call may succeed later.

Limits: a message of a client has at most `fjord.grpc.message.max.bytes`, a connection at most `fjord.grpc.streams.max` calls
at once, a stream of produce requests at most `fjord.grpc.produce.max.in.flight` of them under way. Everything that is sent to
a client waits for it to read.
";

/// The comments of a file, by path.
struct Comments<'a>(HashMap<&'a [i32], &'a str>);

impl<'a> Comments<'a> {
    fn of(file: &'a FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let comment = |location: &'a Location| {
            let comment = location.leading_comments.as_deref()?;
            Some((location.path.as_slice(), comment))
        };
        Self(locations.filter_map(comment).collect())
    }

    /// The comment as paragraphs of Markdown.
    fn at(&self, path: &[i32]) -> String {
        let found = self.0.get(path);
        let found = found.unwrap_or_else(|| panic!("{path:?} has no comment"));
        let lines = found
            .lines()
            .map(|line| line.strip_prefix(' ').unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n").trim().to_owned()
    }

    /// The comment in one line, for a table.
    fn line(&self, path: &[i32]) -> String {
        self.at(path).replace('\n', " ").replace('|', "\\|")
    }
}

fn reference() -> String {
    let set = FileDescriptorSet::decode(fjord_proto::DESCRIPTORS).unwrap();
    let ours = |file: &&FileDescriptorProto| file.package() == PACKAGE;
    let mut text = INTRODUCTION.to_owned();
    for file in set.file.iter().filter(ours) {
        let comments = Comments::of(file);
        for (i, service) in (0..).zip(&file.service) {
            push_service(&mut text, &comments, &[SERVICES, i], service);
        }
    }
    text.push_str("\n## Messages\n");
    for file in set.file.iter().filter(ours) {
        let comments = Comments::of(file);
        for (i, message) in (0..).zip(&file.message_type) {
            push_message(&mut text, &comments, &[MESSAGES, i], message);
        }
        for (i, values) in (0..).zip(&file.enum_type) {
            push_enum(&mut text, &comments, &[ENUMS, i], values);
        }
    }
    text
}

fn push_service(
    text: &mut String,
    comments: &Comments<'_>,
    path: &[i32],
    service: &ServiceDescriptorProto,
) {
    let name = service.name();
    let _ = write!(text, "\n## {name}\n\n{}\n", comments.at(path));
    for (i, method) in (0..).zip(&service.method) {
        let side = |streams: bool, of: &str| {
            let link = link(of);
            if streams {
                format!("stream of {link}")
            } else {
                link
            }
        };
        let _ = write!(
            text,
            "\n### {name}.{}\n\n{} → {}\n\n{}\n",
            method.name(),
            side(method.client_streaming(), method.input_type()),
            side(method.server_streaming(), method.output_type()),
            comments.at(&[path, &[MEMBERS, i]].concat()),
        );
    }
}

fn push_message(
    text: &mut String,
    comments: &Comments<'_>,
    path: &[i32],
    message: &DescriptorProto,
) {
    let _ = write!(text, "\n### {}\n\n{}\n", message.name(), comments.at(path));
    if message.field.is_empty() {
        return;
    }
    text.push_str("\n| Field | Type | What it is |\n|---|---|---|\n");
    for (i, field) in (0..).zip(&message.field) {
        let comment = comments.line(&[path, &[MEMBERS, i]].concat());
        let kind = type_of(message, field);
        let _ = writeln!(text, "| `{}` | {kind} | {comment} |", field.name());
    }
}

fn push_enum(
    text: &mut String,
    comments: &Comments<'_>,
    path: &[i32],
    values: &EnumDescriptorProto,
) {
    let _ = write!(text, "\n### {}\n\n{}\n", values.name(), comments.at(path));
    text.push_str("\n| Value | What it means |\n|---|---|\n");
    for (i, value) in (0..).zip(&values.value) {
        let comment = comments.line(&[path, &[MEMBERS, i]].concat());
        let _ = writeln!(text, "| `{}` | {comment} |", value.name());
    }
}

/// A type's name without its package, which leads to it.
fn link(name: &str) -> String {
    let name = name.rsplit('.').next().unwrap_or_default();
    format!("[{name}](#{})", name.to_lowercase())
}

fn type_of(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let name = field.type_name().rsplit('.').next().unwrap_or_default();
    let nested = message.nested_type.iter();
    let map = nested
        .filter(|nested| {
            nested
                .options
                .as_ref()
                .is_some_and(prost_types::MessageOptions::map_entry)
        })
        .find(|nested| nested.name() == name);
    if let Some(entry) = map {
        let of = |i: usize| type_of(message, &entry.field[i]);
        return format!("map of {} to {}", of(0), of(1));
    }
    let kind = match field.r#type() {
        Type::Message | Type::Enum => link(name),
        other => other
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    };
    let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
    match (field.label(), oneof.and_then(|i| usize::try_from(i).ok())) {
        (Label::Repeated, _) => format!("repeated {kind}"),
        (_, Some(oneof)) => format!("{kind}, one of `{}`", message.oneof_decl[oneof].name()),
        _ if field.proto3_optional() => format!("optional {kind}"),
        _ => kind,
    }
}

#[test]
fn the_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grpc.md");
    let wanted = reference();
    if std::env::var_os("UPDATE_GRPC_REFERENCE").is_some() {
        std::fs::write(path, &wanted).expect("docs/grpc.md can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/grpc.md differs from the comments of the protos; write it anew with\n  \
         UPDATE_GRPC_REFERENCE=1 cargo test -p fjord-proto the_reference_is_up_to_date"
    );
}
