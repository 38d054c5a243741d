"""The protos keep to the rules that buf calls STANDARD, and every part of them is documented."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from harness.protos import PROTOS, descriptors, sources

FILES = list(descriptors().file)
PASCAL_CASE = re.compile(r"([A-Z][a-z0-9]*)+")
LOWER_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
UPPER_SNAKE_CASE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
# The numbers of fields in descriptor.proto, of which the paths in the source info are made.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, NESTED_MESSAGES, NESTED_ENUMS, ONEOFS = 2, 3, 4, 8
VALUES, METHODS = 2, 2


@dataclass(frozen=True)
class Part:
    """A message, field, oneof, enum, enum value, service or method."""

    kind: str
    name: str
    parent: str
    descriptor: object
    comment: str


def parts(file: FileDescriptorProto) -> Iterator[Part]:
    """Everything that a file declares."""
    comments = {tuple(location.path): location.leading_comments for location in file.source_code_info.location}

    def part(kind: str, descriptor, parent: str, path: tuple[int, ...]) -> Part:
        return Part(kind, descriptor.name, parent, descriptor, comments.get(path, "").strip())

    def enum(descriptor, parent: str, path: tuple[int, ...]) -> Iterator[Part]:
        yield part("enum", descriptor, parent, path)
        for index, value in enumerate(descriptor.value):
            yield part("value", value, descriptor.name, (*path, VALUES, index))

    def message(descriptor, parent: str, path: tuple[int, ...]) -> Iterator[Part]:
        if descriptor.options.map_entry:
            return
        yield part("message", descriptor, parent, path)
        for index, field in enumerate(descriptor.field):
            yield part("field", field, descriptor.name, (*path, FIELDS, index))
        synthetic = {field.oneof_index for field in descriptor.field if field.proto3_optional}
        for index, oneof in enumerate(descriptor.oneof_decl):
            if index not in synthetic:
                yield part("oneof", oneof, descriptor.name, (*path, ONEOFS, index))
        for index, nested in enumerate(descriptor.nested_type):
            yield from message(nested, descriptor.name, (*path, NESTED_MESSAGES, index))
        for index, nested in enumerate(descriptor.enum_type):
            yield from enum(nested, descriptor.name, (*path, NESTED_ENUMS, index))

    for index, descriptor in enumerate(file.message_type):
        yield from message(descriptor, file.name, (MESSAGES, index))
    for index, descriptor in enumerate(file.enum_type):
        yield from enum(descriptor, file.name, (ENUMS, index))
    for index, descriptor in enumerate(file.service):
        yield part("service", descriptor, file.name, (SERVICES, index))
        for number, method in enumerate(descriptor.method):
            yield part("method", method, descriptor.name, (SERVICES, index, METHODS, number))


PARTS = [part for file in FILES for part in parts(file)]


def of_kind(*kinds: str) -> list[Part]:
    """The parts of some kinds."""
    return [part for part in PARTS if part.kind in kinds]


def upper_snake_case(name: str) -> str:
    """The name of an enum as its values begin with it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).upper()


def wrong(found: list[Part]) -> list[str]:
    """What is shown of parts that break a rule."""
    return [f"{part.kind} {part.parent}.{part.name}" for part in found]


def test_everything_is_looked_at():
    """All files, and all kinds of parts in them."""
    assert [file.name for file in FILES if "google" not in file.name] != []
    assert {file.name for file in FILES} == {str(path.relative_to(PROTOS)) for path in sources()}
    assert {part.kind for part in PARTS} == {"message", "field", "oneof", "enum", "value", "service", "method"}
    assert len(PARTS) > 200


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_files_and_packages(file):
    """The package is the directory, ends with a version, and the file's name is in lower snake case."""
    directory, _, name = file.name.rpartition("/")
    assert file.syntax == "proto3"
    assert file.package == directory.replace("/", ".")
    assert re.fullmatch(r"v[1-9]\d*((alpha|beta)[1-9]\d*)?", file.package.split(".")[-1])
    assert all(LOWER_SNAKE_CASE.fullmatch(part) for part in file.package.split("."))
    assert LOWER_SNAKE_CASE.fullmatch(name.removesuffix(".proto"))
    assert not file.public_dependency and not file.weak_dependency


def test_no_import_is_unused():
    """Every file that is imported declares something that the importing file uses."""
    declared = {
        f".{file.package}.{each.name}": file.name for file in FILES for each in (*file.message_type, *file.enum_type)
    }
    for file in FILES:
        used = {field.descriptor.type_name for field in parts(file) if field.kind == "field"}
        for message in file.message_type:
            used |= {field.type_name for nested in message.nested_type for field in nested.field}
        used |= {
            name for service in file.service for method in service.method for name in (method.input_type, method.output_type)
        }
        needed = {declared[name] for name in used if name in declared} - {file.name}
        assert set(file.dependency) == needed, file.name


def test_names():
    """Messages, enums, services and methods in PascalCase, fields and oneofs in lower_snake_case, values in UPPER."""
    forms = dict.fromkeys(("message", "enum", "service", "method"), PASCAL_CASE)
    forms |= {"field": LOWER_SNAKE_CASE, "oneof": LOWER_SNAKE_CASE, "value": UPPER_SNAKE_CASE}
    assert not wrong([part for part in PARTS if not forms[part.kind].fullmatch(part.name)])


def test_enums():
    """Values begin with the enum's name; the first one is 0 and says that nothing is said; no two have one number."""
    for enum in of_kind("enum"):
        prefix = upper_snake_case(enum.name) + "_"
        values = list(enum.descriptor.value)
        assert all(value.name.startswith(prefix) for value in values), enum.name
        assert (values[0].name, values[0].number) == (prefix + "UNSPECIFIED", 0)
        assert len({value.number for value in values}) == len(values)
        assert not enum.descriptor.options.allow_alias


def test_services():
    """Services end with `Service`; requests and responses bear their method's name, and are no other method's."""
    assert not wrong([service for service in of_kind("service") if not service.name.endswith("Service")])
    methods = of_kind("method")
    assert len({method.name for method in methods}) == len(methods)
    uses = Counter()
    for method in methods:
        package, _, asked = method.descriptor.input_type.rpartition(".")
        answered = method.descriptor.output_type.removeprefix(f"{package}.")
        assert (asked, answered) == (f"{method.name}Request", f"{method.name}Response")
        uses.update((asked, answered))
    assert set(uses.values()) == {1}


def test_fields():
    """Nothing is required, no field is named like a keyword of descriptors, and numbers rise in their order."""
    assert not wrong([field for field in of_kind("field") if field.name.startswith("descriptor")])
    for message in of_kind("message"):
        numbers = [field.number for field in message.descriptor.field]
        assert numbers == sorted(numbers) and numbers[:1] in ([], [1]), message.name


def test_everything_has_a_comment():
    """And each comment is a sentence."""
    assert not wrong([part for part in PARTS if not part.comment])
    assert not wrong([part for part in PARTS if not part.comment.endswith((".", "?", "!"))])
