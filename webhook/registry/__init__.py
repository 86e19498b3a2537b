"""The only rooms that speak to registries, and those that read saved images in their place.

client        images by reference, proved by digest
auth          challenges answered; ``challenges`` reads them
keychains     whose credentials are tried, in turn: of pods, of docker's file (``credentials``), of
              kubelet credential providers (``providers``); ``programs`` runs those that know some
sites         where a registry's images are to be had; ``hosts`` reads containerd's certs.d
transport     requests: redirects, retries; ``proxies`` says by which way
connection    the one socket, pooled, with a deadline; ``addresses`` says where to
failures      what a failure means

archive       oci:, oci-archive:, docker-archive:
layout saved  which image of an OCI layout, of what ``docker save`` writes
files         files of a folder or a tar

durations     Go's durations
"""
