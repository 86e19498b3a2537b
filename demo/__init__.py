"""``make demo``: four images, three namespaces, twelve answers, in seconds.

A registry on loopback serves images that are made on the spot, ``slimgate serve`` judges pods
that name them, over TLS, and each answer is shown as kubectl would show it. The same scene is
played with kubectl and a real API server by ``make demo-cluster``.

    scene.py       what is played: images, namespaces, pods, and what has to come of it
    stage.py       what it is played on: registry, policies, certificate, slimgate
    audience.py    who asks: AdmissionReviews sent by us, or kubectl through an API server
    screen.py      what is seen
"""
