//! A partition's life on this broker: leader, high watermark, parked requests.
