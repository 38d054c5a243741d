//! Whole frames: the header that starts a request, and requests and responses with their length in
//! front of them.

use crate::codec::{Decode, DecodeError, Encode, EncodeError, Frame, Reader, Writer};
use crate::messages::request_header::RequestHeader;
use crate::messages::response_header::ResponseHeader;
use crate::{ApiKey, Message};

/// The first bytes of a request, which are the same for every API and version, known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestStart {
    /// The API key, known or not.
    pub api_key: i16,
    /// The version of the request's body.
    pub api_version: i16,
    /// What the response is to carry, so that the client can match it.
    pub correlation_id: i32,
}

/// A request's header, and whether its body can be decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum DecodedHeader {
    /// The body follows in the reader.
    Supported {
        /// The API.
        api_key: ApiKey,
        /// The header; its version is one of the API's valid ones.
        header: RequestHeader,
    },
    /// A version that is not valid. For `ApiVersions` this is answered with version 0 of the
    /// response and error 35 (KIP-511); for any other API the connection ends.
    UnsupportedVersion {
        /// The API.
        api_key: ApiKey,
        /// What is known of the request.
        start: RequestStart,
    },
    /// An API that is not known. The connection ends.
    UnknownApi {
        /// What is known of the request.
        start: RequestStart,
    },
}

/// Reads a request's header (the frame's length prefix is not part of `reader`) up to its body.
///
/// # Errors
/// When the frame is too short for a header, or the header of a known version is malformed.
pub fn decode_request_header(reader: &mut Reader) -> Result<DecodedHeader, DecodeError> {
    let start = reader.peek(|reader| {
        Ok(RequestStart {
            api_key: reader.i16()?,
            api_version: reader.i16()?,
            correlation_id: reader.i32()?,
        })
    });
    let start = start.map_err(|error| error.in_field(RequestHeader::NAME))?;
    let Some(api_key) = ApiKey::from_wire(start.api_key) else {
        return Ok(DecodedHeader::UnknownApi { start });
    };
    if !api_key.valid_versions().contains(&start.api_version) {
        return Ok(DecodedHeader::UnsupportedVersion { api_key, start });
    }
    let header_version = api_key.request_header_version(start.api_version);
    let header = RequestHeader::decode(reader, header_version)?;
    Ok(DecodedHeader::Supported { api_key, header })
}

/// A response as it goes out: length, header, body.
///
/// # Errors
/// When the version cannot carry the message; see [`Encode::encode`].
pub fn encode_response(
    correlation_id: i32,
    api_key: ApiKey,
    version: i16,
    message: &(impl Encode + ?Sized),
) -> Result<Frame, EncodeError> {
    let header = ResponseHeader { correlation_id };
    encode_frame(
        &header,
        api_key.response_header_version(version),
        message,
        version,
    )
}

/// A request as a client sends it: length, header, body.
///
/// # Errors
/// When the version cannot carry the message; see [`Encode::encode`].
pub fn encode_request(
    correlation_id: i32,
    client_id: Option<&str>,
    api_key: ApiKey,
    version: i16,
    message: &(impl Encode + ?Sized),
) -> Result<Frame, EncodeError> {
    let header = RequestHeader {
        request_api_key: api_key.code(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
    };
    encode_frame(
        &header,
        api_key.request_header_version(version),
        message,
        version,
    )
}

fn encode_frame(
    header: &impl Encode,
    header_version: i16,
    message: &(impl Encode + ?Sized),
    version: i16,
) -> Result<Frame, EncodeError> {
    let mut writer = Writer::new();
    // The length prefix, known only at the end.
    writer.i32(0);
    header.encode(&mut writer, header_version)?;
    message.encode(&mut writer, version)?;
    writer.finish_with_length_prefix()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::api_versions_request::ApiVersionsRequest;
    use bytes::Bytes;

    fn body(frame: Frame) -> Reader {
        Reader::new(frame.into_bytes().slice(4..))
    }

    #[test]
    fn a_request_comes_back_as_it_was_sent() {
        let request = ApiVersionsRequest {
            client_software_name: "fjord".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let frame = encode_request(7, Some("tester"), ApiKey::ApiVersions, 4, &request).unwrap();
        let mut reader = body(frame);
        let header = RequestHeader {
            request_api_key: 18,
            request_api_version: 4,
            correlation_id: 7,
            client_id: Some("tester".to_owned()),
        };
        let expected = DecodedHeader::Supported {
            api_key: ApiKey::ApiVersions,
            header,
        };
        assert_eq!(decode_request_header(&mut reader), Ok(expected));
        assert_eq!(ApiVersionsRequest::decode(&mut reader, 4), Ok(request));
        assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn unknown_keys_and_versions_are_told_apart() {
        let frame = |api_key: i16, version: i16| {
            let mut bytes = Vec::new();
            bytes.extend_from_slice(&api_key.to_be_bytes());
            bytes.extend_from_slice(&version.to_be_bytes());
            bytes.extend_from_slice(&9i32.to_be_bytes());
            Reader::new(Bytes::from(bytes))
        };
        let start = |api_key, api_version| RequestStart {
            api_key,
            api_version,
            correlation_id: 9,
        };
        assert_eq!(
            decode_request_header(&mut frame(18, 99)),
            Ok(DecodedHeader::UnsupportedVersion {
                api_key: ApiKey::ApiVersions,
                start: start(18, 99)
            })
        );
        assert_eq!(
            decode_request_header(&mut frame(9999, 0)),
            Ok(DecodedHeader::UnknownApi {
                start: start(9999, 0)
            })
        );
        let error = decode_request_header(&mut Reader::new(Bytes::from_static(&[0, 18, 0])));
        assert_eq!(error.unwrap_err().field, "RequestHeader");
    }
}
