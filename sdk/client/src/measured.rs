//! A request's body whose length is told first, so that the node makes room for all of it before it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// A body of that length.
pub(crate) struct Measured<B> {
    body: B,
    left: u64,
}

impl<B> Measured<B> {
    /// `body` brings this many bytes, or fails.
    pub(crate) fn new(body: B, bytes: u64) -> Self {
        Self { body, left: bytes }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Measured<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.left = self.left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    #[tokio::test]
    async fn what_is_left_is_told_at_each_time() {
        let pieces = ["ab", "c"].map(|piece| Ok::<_, ()>(Frame::data(Bytes::from(piece))));
        let mut body = Measured::new(StreamBody::new(futures::stream::iter(pieces)), 3);
        for left in [3, 1] {
            assert_eq!(body.size_hint().exact(), Some(left));
            assert!(body.frame().await.unwrap().unwrap().is_data());
        }
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.frame().await.is_none());
    }
}
