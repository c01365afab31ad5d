PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

PEOPLE ?= ../shared/data/people
FLINK_JOB_SERVER ?= $(VENV)/flink/job-server.jar

PYTHONS ?= $(PYTHON)

.PHONY: demo test test-fast test-slow test-kill test-prism test-dask test-flink test-cloud test-install wheel findings bench-protection bench-fawkes bench-archive bench-run bench-scale bench-detector bench-report bench-skew bench-unchanged docs install clean

demo: install  ## Build a small archive of public photos, cloak it, show what came out
	$(BIN)/photoveil demo demo

test: install  ## Linters, type checker and the default test suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: install  ## The tests that need neither TensorFlow nor minutes
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "fast and not slow"

test-slow: install  ## The tests that the default suite leaves out: real disks, labelled photos, second looks
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow

test-kill: install  ## Kill a real run at many random points; KILLS=how many
	PHOTOVEIL_KILLS=$(or $(KILLS),20) $(BIN)/pytest tests/test_kill.py -k killed

test-prism: install $(VENV)/prism/prism  ## The main job on Beam's Prism and in several processes, against the local runner; needs Go
	PATH="$(CURDIR)/$(VENV)/prism:$$PATH" PHOTOVEIL_RUNNERS="prism workers" $(BIN)/pytest tests/test_runners.py tests/test_bad_input.py

test-dask: install  ## The main job on a Dask cluster of several processes, with folders and with buckets, and with a worker killed
	PHOTOVEIL_RUNNERS=dask $(BIN)/pytest -m "slow or not slow" tests/test_dask_runner.py tests/test_runners.py -k dask

test-flink: install $(FLINK_JOB_SERVER) $(VENV)/flink/installed  ## The same on Flink, in Beam's job server and on a cluster of its own; needs Java and Maven, or FLINK_JOB_SERVER=path of that server's jar
	FLINK_JOB_SERVER="$(abspath $(FLINK_JOB_SERVER))" FLINK_LIB="$(CURDIR)/$(VENV)/flink/pyflink/lib" \
		PHOTOVEIL_RUNNERS=flink $(BIN)/pytest tests/test_runners.py

test-cloud: install $(VENV)/clouds/versitygw $(VENV)/clouds/fake-gcs-server  ## Archives in gs:// and s3://, against servers on this machine; needs Go
	PHOTOVEIL_CLOUDS="$(CURDIR)/$(VENV)/clouds" $(BIN)/pytest tests/test_storage.py tests/test_object_lease.py tests/test_cloud.py

wheel: install  ## Wheel and sdist, in dist/
	$(BIN)/python -m build --outdir dist

test-install: install  ## Install the wheel as a user does, without compiler, npm and git; PYTHONS="python3.11 python3.12"; downloads gigabytes
	PHOTOVEIL_INSTALL="$(PYTHONS)" $(BIN)/pytest tests/test_install.py

findings: install  ## Do other programs still behave as findings/ says? Each script exits 0 while they do; needs a network
	@for script in findings/*.sh; do echo "== $$script"; bash $$script || failed="$$failed $$script"; done; \
		[ -z "$$failed" ] || { echo "changed or not to be seen here:$$failed"; exit 1; }

bench-protection: install  ## Do recognisers find people in written files? PEOPLE=folder with people.csv or a folder a person; ARGS="--held-out each --half b"
	$(BIN)/pip install --quiet --editable '.[evaluate]'
	$(BIN)/python -m benchmarks.protection $(PEOPLE) $(ARGS)

bench-fawkes: install $(VENV)/fawkes/installed  ## The cloak beside Fawkes, which takes most of an hour; PEOPLE=as above; ARGS="--mode low --faces 8"
	$(BIN)/pip install --quiet --editable '.[evaluate]'
	PYTHONPATH=$(VENV)/fawkes $(BIN)/python -m benchmarks.fawkes $(PEOPLE) $(ARGS)

bench-archive: install  ## Time and memory of whole runs on generated archives, with a plot; hours for 10,000 photos; PHOTOS="500 1000"
	$(BIN)/python -m benchmarks.archive --photos $(or $(PHOTOS),500 1000 10000)

bench-run: install  ## What a photo costs outside of the optimiser, beside another commit; AGAINST=cbde0f8 PHOTOS=8 ARCHIVES="phone groups landscapes"
	$(BIN)/python -m benchmarks.run --against $(or $(AGAINST),cbde0f8) --photos $(or $(PHOTOS),8) \
		--archives $(or $(ARCHIVES),phone groups landscapes)

bench-scale: install  ## Photos per second by stage and worker, what that predicts, and what ten million photos would cost; PHOTOS=60
	$(BIN)/python -m benchmarks.scale --photos $(or $(PHOTOS),60)
	$(BIN)/python -m benchmarks.ten_million

bench-detector: install  ## Recall and false alarms of the detector; PEOPLE=folder with people.csv
	$(BIN)/python -m benchmarks.detector --people $(PEOPLE)

docs: install  ## Write the generated pages: settings, columns of the manifest, third-party notices
	$(BIN)/python -m docs.generate

bench-report: install  ## Time, size and speed of the report's page; needs Chromium; PHOTOS="1000 50000"
	$(BIN)/python -m benchmarks.report --photos $(or $(PHOTOS),1000 50000)

bench-skew: install  ## Archives with very wide groups: copies, photos alike, a full folder, a person everywhere, a crowd; ARCHIVES="copies crowd"
	$(BIN)/python -m benchmarks.skew --archives $(or $(ARCHIVES),copies alike folder person crowd)

bench-unchanged: install  ## Time and memory of help, and of plan, run and status over an archive in which nothing changed; FILES=100000
	$(BIN)/python -m benchmarks.unchanged --files $(or $(FILES),100000)

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	# A type checker cannot follow the import hook of an editable install.
	mkdir -p $(VENV)/source/photoveil
	ln -sfn $(CURDIR)/pipeline $(CURDIR)/transforms $(CURDIR)/configs $(VENV)/source/photoveil/
	touch $@

$(VENV)/prism/prism: $(VENV)/installed
	GOBIN="$(CURDIR)/$(@D)" go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$$($(BIN)/python -c \
		'import apache_beam; print(apache_beam.__version__)')

# Beam's version decides this one's, so no hash of it is written here; Maven compares its own.
$(VENV)/flink/job-server.jar: $(VENV)/installed
	mvn --quiet --batch-mode --strict-checksums \
		org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -DoutputDirectory="$(CURDIR)/$(@D)" \
		-Dartifact=org.apache.beam:beam-runners-flink-2.2-job-server:$$($(BIN)/python -c \
		'import apache_beam; print(apache_beam.__version__)') \
		|| { echo "Beam's Flink job server is not to be had; FLINK_JOB_SERVER=its path, if you have it"; exit 1; }
	mv $(@D)/beam-runners-flink-2.2-job-server-*.jar $@

# A whole Flink, as PyFlink ships it.
$(VENV)/flink/installed: $(VENV)/installed
	mkdir -p $(@D)
	echo 'apache-flink-libraries==2.2.1 --hash=sha256:74dc5546fbd9add8fbcdf1222a237e09491f9b80296241aef8676ec56f8e686e' \
		> $(@D)/requirements.txt
	$(BIN)/pip install --quiet --no-deps --require-hashes --upgrade --target $(@D) -r $(@D)/requirements.txt
	touch $@

$(VENV)/clouds/versitygw: $(VENV)/installed
	GOBIN="$(CURDIR)/$(@D)" go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

$(VENV)/clouds/fake-gcs-server: $(VENV)/installed
	GOBIN="$(CURDIR)/$(@D)" go install github.com/fsouza/fake-gcs-server@v1.56.1

# What Fawkes imports and the project does not have, in a folder of its own: what its metadata asks
# for is TensorFlow 2.4. It wants pkg_resources, which later setuptools lack.
$(VENV)/fawkes/installed: $(VENV)/installed
	$(BIN)/pip install --quiet --no-deps --upgrade --target $(@D) fawkes==1.0.4 mtcnn==0.1.1 \
		opencv-python-headless six 'setuptools<81' 'tf-keras>=2.18,<2.22'
	touch $@

clean:
	rm -rf $(VENV) demo dist build
